"""Versioning a chunk: what each record is, what is stored, what follows, and that doing it again changes nothing."""

from datetime import timedelta
from typing import Any, TypeVar

import pytest
from bourse.assets.diff import DOCUMENT_BYTES_MAX
from bourse.assets.events import AssetsVersioned, LoansClosed, OffersWithdrawn, offer_id_of
from bourse.assets.model import Change
from bourse.assets.versions import ChunkRef
from bourse.errors import Refused
from bourse.message import BODY_BYTES_MAX, Message, Outcome, encode

from tests.assets.version_builders import NOON, Stage, chunk, file, loan

DAY = timedelta(days=1)
M = TypeVar("M", bound=Message)


def counts(outcome: Outcome) -> dict[str, int]:
    return dict(outcome.counts)


def said(outcome: Outcome, kind: type[M]) -> M:
    [message] = [message for message in outcome.says if isinstance(message, kind)]
    return message


def test_a_loan_never_seen_is_created_and_sent_to_assessment() -> None:
    outcome = Stage().hear(chunk(loan("L-1")))
    assert counts(outcome) == {"records_created": 1}
    [message] = outcome.says
    assert isinstance(message, AssetsVersioned)
    assert message.group() == "demo/acme/00"
    assert (message.upload_seq, message.correlation_id, message.said_at) == (1, "upl_1", NOON)
    assert [(asset.loan_id, asset.version, asset.change) for asset in message.assets] == [("L-1", 1, "created")]


def test_the_full_book_sent_again_causes_nothing() -> None:
    stage = Stage()
    book = [loan(f"L-{number}") for number in range(5)]
    stage.hear(chunk(*book))
    again = stage.hear(chunk(*book, seq=2))
    assert counts(again) == {"records_unchanged": 5}
    assert again.says == ()


def test_updated_at_is_not_content() -> None:
    stage = Stage()
    stage.hear(chunk(loan(updated_at=NOON)))
    assert counts(stage.hear(chunk(loan(updated_at=NOON + DAY), seq=2))) == {"records_unchanged": 1}


def test_a_changed_loan_gets_the_next_version_and_names_what_changed() -> None:
    stage = Stage()
    stage.hear(chunk(loan()))
    borrower = {"id": "B-1", "birth_year": 1985, "income_month_minor": 500_000, "employment": "employed"}
    changed = loan(outstanding_principal_minor=1_000_000, borrower=borrower, extras={"sub_grade": "C2", "purpose": "car"}, grade=None)
    [asset] = said(stage.hear(chunk(changed, seq=2)), AssetsVersioned).assets
    assert (asset.version, asset.change) == (2, "changed")
    assert asset.changed_fields == ("borrower.income_month_minor", "extras.purpose", "grade", "outstanding_principal_minor")
    first, second = stage.versions.history("demo", "acme", "L-1")[0]
    assert (first.version, first.cause.upload_seq, second.version, second.cause.upload_seq) == (1, 1, 2, 2)


def test_a_record_older_than_the_stored_version_is_stale_and_changes_nothing() -> None:
    stage = Stage()
    stage.hear(chunk(loan(updated_at=NOON)))
    outcome = stage.hear(chunk(loan(updated_at=NOON - DAY, grade="A"), seq=2))
    assert counts(outcome) == {"records_stale": 1}
    assert outcome.says == ()
    assert len(stage.versions.history("demo", "acme", "L-1")[0]) == 1


def test_an_intraday_recall_withdraws_the_offer_and_closes_the_loan() -> None:
    stage = Stage()
    stage.hear(chunk(loan("L-1"), loan("L-2")))
    outcome = stage.hear(chunk(loan("L-1", status="repaid"), loan("L-2", status="withdrawn"), seq=2))
    assert counts(outcome) == {"records_withdrawn": 2}
    withdrawn, closed = said(outcome, OffersWithdrawn), said(outcome, LoansClosed)
    assert withdrawn.group() == "demo/USD/loan"
    assert [(one.offer_id, one.version, one.reason) for one in withdrawn.withdrawals] == [
        (offer_id_of("demo", "acme", "L-1"), 2, "repaid"),
        (offer_id_of("demo", "acme", "L-2"), 2, "withdrawn"),
    ]
    assert closed.group() == "demo/acme"
    assert [(one.loan_id, one.version, one.status) for one in closed.loans] == [("L-1", 2, "repaid"), ("L-2", 2, "withdrawn")]
    assert len(outcome.says) == 2


def test_withdrawals_are_said_per_book() -> None:
    outcome = Stage().hear(chunk(loan("L-1", status="repaid"), loan("L-2", status="repaid", currency="EUR")))
    assert [message.group() for message in outcome.says if isinstance(message, OffersWithdrawn)] == ["demo/EUR/loan", "demo/USD/loan"]


def test_a_loan_that_changes_its_currency_leaves_its_old_book_and_is_assessed_for_the_new() -> None:
    stage = Stage()
    stage.hear(chunk(loan()))
    outcome = stage.hear(chunk(loan(currency="EUR"), seq=2))
    assert [asset.version for asset in said(outcome, AssetsVersioned).assets] == [2]
    left = said(outcome, OffersWithdrawn)
    assert left.book_id == "demo/USD/loan"
    assert [(one.version, one.reason) for one in left.withdrawals] == [(2, "not_eligible")]
    assert stage.hear(chunk(loan(currency="EUR"), seq=2)).says == outcome.says


def test_a_loan_that_is_repaid_in_another_currency_leaves_both_books() -> None:
    stage = Stage()
    stage.hear(chunk(loan()))
    outcome = stage.hear(chunk(loan(currency="EUR", status="repaid"), seq=2))
    assert [message.group() for message in outcome.says] == ["demo/EUR/loan", "demo/USD/loan", "demo/acme"]


def test_the_same_loan_twice_in_a_file_counts_once_and_the_second_is_told_which_came_first() -> None:
    stage = Stage()
    outcome = stage.hear(chunk(loan(grade="A"), loan(grade="B"), loan(grade="A"), first=7))
    assert counts(outcome) == {"records_created": 1, "records_rejected": 1, "records_unchanged": 1}
    kept = stage.chunks.result(ChunkRef("demo", "acme", 1, 0, 0))
    assert kept is not None
    [rejection] = kept.rejections
    assert (rejection.record_no, rejection.byte_offset, rejection.loan_id, rejection.code) == (8, 8000, "L-1", "DUPLICATE_LOAN")
    assert "record 7" in rejection.message
    assert stage.hear(chunk(loan(grade="A"), loan(grade="B"), loan(grade="A"), first=7)).says == outcome.says


@pytest.mark.parametrize("cut", [1, 2], ids=["in two chunks", "in one chunk"])
@pytest.mark.parametrize("first", [{}, {"outstanding_principal_minor": 7}], ids=["without news", "with news"])
def test_the_same_loan_twice_is_found_however_the_file_is_cut(cut: int, first: dict[str, Any]) -> None:
    stage = Stage()
    stage.hear(chunk(loan()))
    records = [loan(**first), loan(grade="A")]
    for number, start in enumerate(range(0, 2, cut)):
        stage.hear(chunk(*records[start : start + cut], seq=2, number=number, first=start))
    results = [stage.chunks.result(ChunkRef("demo", "acme", 2, 0, number)) for number in range(2 // cut)]
    rejections = [rejection for result in results if result for rejection in result.rejections]
    assert [(one.code, one.record_no) for one in rejections] == [("DUPLICATE_LOAN", 1)]
    assert "record 0" in rejections[0].message


def test_a_stale_record_also_stands_for_its_loan_in_the_file() -> None:
    stage = Stage()
    stage.hear(chunk(loan(updated_at=NOON)))
    outcome = stage.hear(chunk(loan(updated_at=NOON - DAY, grade="A"), loan(updated_at=NOON + DAY, grade="B"), seq=2))
    assert counts(outcome) == {"records_stale": 1, "records_rejected": 1}


def test_a_chunk_heard_twice_says_the_same_and_stores_nothing_new() -> None:
    stage = Stage()
    stage.hear(chunk(loan("L-1"), loan("L-2"), loan("L-3")))
    mixed = chunk(loan("L-1", grade="A"), loan("L-2", status="repaid"), loan("L-3"), loan("L-4"), loan("L-4", grade="Z"), seq=2)
    first = stage.hear(mixed)
    stored = [stage.versions.history("demo", "acme", f"L-{number}") for number in range(1, 5)]
    stage.clock.at = NOON + DAY
    again = stage.hear(mixed)
    assert [encode(message) for message in again.says] == [encode(message) for message in first.says]
    assert counts(again) == {"chunks_heard_again": 1}
    assert [stage.versions.history("demo", "acme", f"L-{number}") for number in range(1, 5)] == stored


def test_every_record_is_exactly_one_of_the_six_kinds() -> None:
    stage = Stage()
    stage.hear(chunk(*[loan(f"L-{number}", updated_at=NOON) for number in range(4)]))
    records = [
        loan("L-0", updated_at=NOON),
        loan("L-1", updated_at=NOON, grade="A"),
        loan("L-2", updated_at=NOON - DAY, grade="A"),
        loan("L-3", updated_at=NOON, status="defaulted"),
        loan("L-4"),
        loan("L-4", grade="A"),
    ]
    outcome = stage.hear(chunk(*records, seq=2))
    assert counts(outcome) == {f"records_{change}": 1 for change in Change}


def test_loans_of_two_originators_and_tenants_never_meet() -> None:
    stage = Stage()
    for tenant, originator in (("demo", "acme"), ("demo", "bank"), ("other", "acme")):
        assert counts(stage.hear(chunk(loan(), tenant=tenant, originator=originator))) == {"records_created": 1}


def test_large_records_are_said_in_messages_a_queue_can_carry() -> None:
    filler = [str(number * 7919 % 100_003) for number in range(10_000)]
    outcome = Stage().hear(chunk(*[loan(f"L-{number}", extras={"filler": filler, "number": number}) for number in range(40)]))
    assert len(outcome.says) > 1
    assert all(len(encode(message)) < BODY_BYTES_MAX for message in outcome.says)
    assert sum(len(message.assets) for message in outcome.says if isinstance(message, AssetsVersioned)) == 40
    assert len({message.message_id for message in outcome.says}) == len(outcome.says)


def test_a_record_too_large_to_be_stored_is_rejected_and_its_chunk_goes_on() -> None:
    outcome = Stage().hear(chunk(loan("L-1", extras={"filler": "x" * DOCUMENT_BYTES_MAX}), loan("L-2")))
    assert counts(outcome) == {"records_rejected": 1, "records_created": 1}


def test_documents_that_do_not_belong_to_the_records_are_refused() -> None:
    whole = chunk(loan("L-1"), loan("L-2"))
    for documents in (chunk(loan("L-1")).documents, whole.documents[:-1], b"not zlib at all", b""):
        with pytest.raises(Refused, match="MESSAGE_MALFORMED"):
            Stage().hear(whole.model_copy(update={"documents": documents}))


def test_a_chunk_cut_differently_under_the_same_name_is_a_bug_and_not_a_result() -> None:
    stage = Stage()
    stage.hear(chunk(loan("L-1"), loan("L-2")))
    with pytest.raises(AssertionError, match="cut differently"):
        stage.hear(chunk(loan("L-1")))


def test_a_new_hash_key_does_not_make_every_loan_changed() -> None:
    stage = Stage()
    stage.hear(chunk(loan()))
    later = chunk(loan(), seq=2)
    other_key = later.model_copy(update={"records": tuple(record.model_copy(update={"content_hash": "0" * 32}) for record in later.records)})
    assert counts(stage.hear(other_key)) == {"records_unchanged": 1}


def test_a_single_asset_file_works_too() -> None:
    stage = Stage()
    stage.hear(*file([loan(f"L-{number}") for number in range(30)]))
    assert counts(stage.hear(*file([loan("L-7", grade="A")], seq=2))) == {"records_changed": 1}
