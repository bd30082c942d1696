"""AssetsVersioned -> forecast, class, stored assessment -> sell offers of what may be sold, withdrawals of what may not."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import orjson

from bourse.assessment.attributes import attributes_of
from bourse.assessment.events import SellOffer, SellOffersPlaced
from bourse.assessment.model import Assessment, Attributes, OriginatorTerms
from bourse.assessment.provider import CashFlowForecaster, RiskClassifier
from bourse.assessment.store import AssessmentStore, TermsStore
from bourse.assets.events import AssetsVersioned, AssetVersion, OffersWithdrawn, OfferWithdrawal, book_of, offer_id_of
from bourse.assets.model import LoanRecord, LoanStatus
from bourse.clock import Clock
from bourse.message import Message, Outcome, message_id, parts
from bourse.money import floor_share

_PERCENT: Final = 100
_exact: Final = json.JSONDecoder(parse_float=Decimal).decode


@dataclass(frozen=True, slots=True)
class _Asset:
    """A version to be assessed, and what was thought of it; no assessment means it could not be forecast or classified."""

    asset: AssetVersion
    loan: LoanRecord
    known: Attributes | None = None
    assessment: Assessment | None = None


def assess_assets(
    heard: AssetsVersioned,
    *,
    forecaster: CashFlowForecaster,
    classifier: RiskClassifier,
    assessments: AssessmentStore,
    terms: TermsStore,
    clock: Clock,  # noqa: ARG001 - the day of an assessment is the day its version was said, so that doing it again is the same
) -> Outcome:
    """Assess and keep every version of the message, then say which loans are for sale at which terms, and which are not.

    Doing it again keeps nothing new and, unless tables or terms were changed in between, says the same.
    """
    assets = _assess(heard, forecaster, classifier)
    assessed = [one.assessment for one in assets if one.assessment]
    assessments.keep(heard.tenant_id, heard.originator_id, assessed)
    current = terms.terms(heard.tenant_id, heard.originator_id)
    volumes = {one.asset.loan_id: sellable_volume(one.loan, current) if one.assessment else 0 for one in assets}
    says = (*_place(heard, assets, volumes, current), *_withdraw(heard, assets, volumes))
    placed = sum(1 for volume in volumes.values() if volume)
    counts = {"assets_assessed": len(assessed), "assets_not_assessed": len(assets) - len(assessed), "offers_placed": placed}
    return Outcome(says, counts | {"offers_not_eligible": len(assets) - placed})


def sellable_volume(loan: LoanRecord, terms: OriginatorTerms | None) -> int:
    """Minor units of principal on offer: the sellable share of what is outstanding, rounded down; 0 for a loan that may not be sold."""
    if terms is None or not terms.active or loan.status is not LoanStatus.ACTIVE:
        return 0
    if terms.currencies is not None and loan.currency not in terms.currencies:
        return 0
    if terms.days_past_due_max is not None and (loan.days_past_due or 0) > terms.days_past_due_max:
        return 0
    share = Decimal(_PERCENT) if loan.sellable_share is None else min(max(loan.sellable_share, Decimal(0)), Decimal(_PERCENT))
    return floor_share(loan.outstanding_principal_minor, share / _PERCENT)


def _assess(heard: AssetsVersioned, forecaster: CashFlowForecaster, classifier: RiskClassifier) -> list[_Asset]:
    """Forecast and classify all loans that have something outstanding, in one question each."""
    assets = [_Asset(asset, read_document(asset.document)) for asset in heard.assets]
    as_of = heard.said_at.date()
    owing = [one for one in assets if one.loan.outstanding_principal_minor > 0]
    forecasts = forecaster.forecast(heard.tenant_id, as_of, [one.loan for one in owing]) if owing else []
    foreseen = [(one, found) for one, found in zip(owing, forecasts, strict=True) if found]
    known = [attributes_of(one.loan, as_of, found) for one, found in foreseen]
    classes = classifier.classify(heard.tenant_id, known) if known else []
    thought: dict[str, _Asset] = {}
    for (one, found), attributes, classified in zip(foreseen, known, classes, strict=True):
        if classified:
            assessment = Assessment(
                loan_id=one.asset.loan_id,
                version=one.asset.version,
                upload_seq=heard.upload_seq,
                assessed_at=heard.said_at,
                grade=one.loan.grade,
                risk_class=classified.risk_class,
                currency=one.loan.currency,
                forecast=found,
                class_model_version=classified.model_version,
            )
            thought[one.asset.loan_id] = replace(one, known=attributes, assessment=assessment)
    return [thought.get(one.asset.loan_id, one) for one in assets]


def _place(heard: AssetsVersioned, assets: Sequence[_Asset], volumes: dict[str, int], terms: OriginatorTerms | None) -> Iterator[SellOffersPlaced]:
    books: dict[str, list[SellOffer]] = {}
    for one in assets:
        if terms and one.assessment and one.known and (volume := volumes[one.asset.loan_id]):
            labels = one.known.labels | {"risk_class": one.assessment.risk_class, "originator": heard.originator_id}
            offer = _offer(heard, one, Attributes(labels, one.known.numbers), volume, terms)
            books.setdefault(book_of(heard.tenant_id, one.loan.currency), []).append(offer)
    for book_id, offers in sorted(books.items()):
        for number, part in enumerate(parts(offers, _octets)):
            yield SellOffersPlaced(**_envelope(heard, SellOffersPlaced.kind, book_id, number), book_id=book_id, said_at=heard.said_at, offers=part)


def _offer(heard: AssetsVersioned, one: _Asset, known: Attributes, volume: int, terms: OriginatorTerms) -> SellOffer:
    """The sell offer of one version. A loan smaller than the product's lot is one lot."""
    loan, partial = one.loan, one.loan.partial_sale is not False
    return SellOffer(
        offer_id=offer_id_of(heard.tenant_id, heard.originator_id, loan.loan_id),
        version=one.asset.version,
        loan_id=loan.loan_id,
        originator_id=heard.originator_id,
        borrower_id=loan.borrower.id if loan.borrower else None,
        product_id=terms.product_id,
        volume=volume,
        partial_sale=partial,
        lot_min=max(1, min(terms.lot_min, volume)),
        sell_ratio=terms.sell_ratio,
        labels=known.labels,
        numbers=known.numbers,
        expires_at=None if partial else heard.said_at + timedelta(days=terms.offer_days),
    )


def _withdraw(heard: AssetsVersioned, assets: Sequence[_Asset], volumes: dict[str, int]) -> Iterator[Message]:
    """An offer of an older version must not outlive the terms it was made at."""
    books: dict[str, list[OfferWithdrawal]] = {}
    for one in assets:
        if not volumes[one.asset.loan_id]:
            withdrawal = OfferWithdrawal(
                offer_id=offer_id_of(heard.tenant_id, heard.originator_id, one.loan.loan_id),
                loan_id=one.loan.loan_id,
                version=one.asset.version,
                reason="not_eligible",
            )
            books.setdefault(book_of(heard.tenant_id, one.loan.currency), []).append(withdrawal)
    for book_id, withdrawals in sorted(books.items()):
        yield OffersWithdrawn(**_envelope(heard, OffersWithdrawn.kind, book_id, 0), book_id=book_id, said_at=heard.said_at, withdrawals=tuple(withdrawals))


def read_document(document: str) -> LoanRecord:
    """The record in a version's canonical JSON; fractions among its unknown fields are exact."""
    return LoanRecord.model_validate(_exact(document))


def _envelope(heard: AssetsVersioned, kind: str, *which: str | int) -> dict[str, Any]:
    return {"message_id": message_id(kind, heard.message_id, *which), "tenant_id": heard.tenant_id, "correlation_id": heard.correlation_id}


def _octets(offer: SellOffer) -> int:
    """What an offer weighs in a message, near enough: its attributes are all that grows."""
    return 400 + len(orjson.dumps(offer.labels)) + len(orjson.dumps(offer.numbers, default=str))
