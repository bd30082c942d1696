"""Upgrades of the marketplace that are planted to be deployed in the middle of everything: those that may be, and those that must be found out.

Each is a release as a person would write it, as changes of the code as it is. Where a change takes two releases, `before` is the first of them, and
what is deployed is the second. The world itself (stores, promises, people) is always of the new code.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.simulation.environments import OURS, Code
from tests.simulation.versions import LAYER, ROOT, Change, Release
from tests.simulation.world import World

_B = f"{LAYER}/bourse"
_EVENTS, _FLOW, _SAYS, _HEARS = f"{_B}/assets/events.py", f"{_B}/flow.py", f"{_B}/assets/version_assets.py", "functions/assess_assets/handler.py"

EVERY = 20


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What is deployed over what: the code with `after` over the code with `before`."""

    name: str
    after: tuple[Change, ...]
    before: tuple[Change, ...] = ()
    seed: int = 1
    """Where a world broke by it when it was last looked for (`--upgrades`): looking from there finds it at once."""


_V2_HEARD = (
    Change(
        _EVENTS,
        "class OfferWithdrawal(Facts):",
        'class AssetsVersionedV2(AssetsVersioned):\n    kind: ClassVar[str] = "assets_versioned.v2"\n    file: str\n\n\nclass OfferWithdrawal(Facts):',
    ),
    Change(_FLOW, "import AssetsVersioned, LoansClosed", "import AssetsVersioned, AssetsVersionedV2, LoansClosed"),
    Change(_FLOW, 'Queue("assessments", (AssetsVersioned,))', 'Queue("assessments", (AssetsVersioned, AssetsVersionedV2))'),
    Change(_HEARS, "import AssetsVersioned\n", "import AssetsVersioned, AssetsVersionedV2\n"),
    Change(_HEARS, "{AssetsVersioned: assess_assets}", "{AssetsVersioned: assess_assets, AssetsVersionedV2: assess_assets}"),
)
_V2_SAID = (
    Change(_SAYS, "import AssetsVersioned, AssetVersion,", "import AssetsVersioned, AssetsVersionedV2, AssetVersion,"),
    Change(_SAYS, "yield AssetsVersioned(**envelope,", 'yield AssetsVersionedV2(**envelope, file=f"{chunk.originator_id}/{chunk.upload_seq}",'),
)
_BIDS_V2_HEARD = (
    Change(
        f"{_B}/matching/events.py",
        '    def group(self) -> str:\n        return f"{self.tenant_id}/{self.originator_id}"\n',
        '    def group(self) -> str:\n        return f"{self.tenant_id}/{self.originator_id}"\n\n\n'
        'class BidsPublishedV2(BidsPublished):\n    kind: ClassVar[str] = "bids_published.v2"\n    round: int\n',
    ),
    Change(f"{_B}/matching/offers.py", "import Bid, BidsPublished\n", "import Bid, BidsPublished, BidsPublishedV2\n"),
    Change(f"{_B}/matching/offers.py", "for kind in (BidsPublished,)", "for kind in (BidsPublished, BidsPublishedV2)"),
    Change(_FLOW, "from bourse.matching.events import BidsPublished", "from bourse.matching.events import BidsPublished, BidsPublishedV2"),
    Change(_FLOW, "(BidsPublished, LoansClosed)", "(BidsPublished, BidsPublishedV2, LoansClosed)"),
    Change("functions/settle_investments/handler.py", "events import BidsPublished\n", "events import BidsPublished, BidsPublishedV2\n"),
    Change(
        "functions/settle_investments/handler.py",
        "{BidsPublished: settle_investments,",
        "{BidsPublished: settle_investments, BidsPublishedV2: settle_investments,",
    ),
)
_BIDS_V2_SAID = (
    Change(f"{_B}/matching/match_offers.py", "import Bid, BidsPublished\n", "import Bid, BidsPublished, BidsPublishedV2\n"),
    Change(f"{_B}/matching/match_offers.py", "            yield BidsPublished(\n", "            yield BidsPublishedV2(\n                round=number,\n"),
)
_OFFERS_V2 = (
    Change(
        f"{_B}/assessment/events.py",
        "    def group(self) -> str:\n        return self.book_id\n",
        "    def group(self) -> str:\n        return self.book_id\n\n\n"
        'class SellOffersPlacedV2(SellOffersPlaced):\n    kind: ClassVar[str] = "sell_offers_placed.v2"\n    upload_seq: int\n',
    ),
    Change(_FLOW, "import SellOffersPlaced\n", "import SellOffersPlaced, SellOffersPlacedV2\n"),
    Change(_FLOW, 'Queue("offers", (SellOffersPlaced,', 'Queue("offers", (SellOffersPlaced, SellOffersPlacedV2,'),
    Change("functions/match_offers/handler.py", "import SellOffersPlaced\n", "import SellOffersPlaced, SellOffersPlacedV2\n"),
    Change("functions/match_offers/handler.py", "{SellOffersPlaced: match_offers,", "{SellOffersPlaced: match_offers, SellOffersPlacedV2: match_offers,"),
    Change(f"{_B}/matching/match_offers.py", "import SellOffersPlaced\n", "import SellOffersPlaced, SellOffersPlacedV2\n"),
    Change(f"{_B}/matching/match_offers.py", "for kind in (SellOffersPlaced,", "for kind in (SellOffersPlaced, SellOffersPlacedV2,"),
    Change(f"{_B}/assessment/assess_assets.py", "import SellOffer, SellOffersPlaced\n", "import SellOffer, SellOffersPlaced, SellOffersPlacedV2\n"),
    Change(
        f"{_B}/assessment/assess_assets.py",
        "            yield SellOffersPlaced(**_envelope",
        "            yield SellOffersPlacedV2(upload_seq=heard.upload_seq, **_envelope",
    ),
)
_NEW_KIND = (
    Change(
        _EVENTS,
        "class OfferWithdrawal(Facts):",
        'class RecordsVersioned(Message):\n    kind: ClassVar[str] = "records_versioned.v1"\n    originator_id: str\n    records: int\n\n'
        '    def group(self) -> str:\n        return f"{self.tenant_id}/{self.originator_id}"\n\n\nclass OfferWithdrawal(Facts):',
    ),
    Change(_FLOW, "OffersWithdrawn, RecordsRead, UploadReady", "OffersWithdrawn, RecordsRead, RecordsVersioned, UploadReady"),
    Change(_FLOW, "(BidsPublished, LoansClosed)", "(BidsPublished, LoansClosed, RecordsVersioned)"),
    Change("functions/settle_investments/handler.py", "import LoansClosed\n", "import LoansClosed, RecordsVersioned\n"),
    Change("functions/settle_investments/handler.py", "import close_loans, settle", "import close_loans, records_versioned, settle"),
    Change("functions/settle_investments/handler.py", "LoansClosed: close_loans}", "LoansClosed: close_loans, RecordsVersioned: records_versioned}"),
    Change(
        f"{_B}/ledger/settle_investments.py",
        "def _returned(",
        'def records_versioned(heard, *, ledger, window_seconds, clock):\n    return Outcome(counts={"records_told": heard.records})\n\n\ndef _returned(',
    ),
    Change(_SAYS, "OfferWithdrawal, RecordsRead,", "OfferWithdrawal, RecordsRead, RecordsVersioned,"),
    Change(
        _SAYS,
        "    return (*_assess(said, heads),",
        "    told = said.envelope(RecordsVersioned.kind)\n"
        "    return (RecordsVersioned(**told, originator_id=chunk.originator_id, records=len(chunk.records)), *_assess(said, heads),",
    ),
)
_FILE_HEARD = (Change(_EVENTS, "    assets: tuple[AssetVersion, ...]\n", "    assets: tuple[AssetVersion, ...]\n    file: str | None = None\n"),)
_FILE_SAID = (Change(_SAYS, "yield AssetsVersioned(**envelope,", 'yield AssetsVersioned(**envelope, file=f"{chunk.upload_seq}",'),)
_CODEC = f"{_B}/matching/codec.py"
_FORMAT = (
    Change(_CODEC, "FORMAT: Final = 2", "FORMAT: Final = 3"),
    Change(_CODEC, "FORMATS: Final = (FORMAT,)", "FORMATS: Final = (FORMAT, 2)"),
    Change(_CODEC, '"returned": sorted(book.returned),', '"came_back": sorted(book.returned),'),
    Change(_CODEC, 'plain["returned"]', 'plain["returned" if plain["format"] == 2 else "came_back"]'),
)
_DEFAULTS = (
    Change(f"{_B}/assets/issue_upload.py", "VALID_SECONDS: Final = 900", "VALID_SECONDS: Final = 1200"),
    Change(f"{_B}/assessment/assess_assets.py", "timedelta(days=terms.offer_days)", "timedelta(days=terms.offer_days // 2)"),
)

ALLOWED = (
    Upgrade("the same code once more", ()),
    Upgrade("a message gets a field more by a new kind: hearers first, then who says it", _V2_HEARD + _V2_SAID, before=_V2_HEARD),
    Upgrade("a new kind is heard and said in one release", _V2_HEARD + _V2_SAID),
    Upgrade("what a book says has a new kind, heard before it is said", _BIDS_V2_HEARD + _BIDS_V2_SAID, before=_BIDS_V2_HEARD),
    Upgrade("what a book says has a new kind in one release", _BIDS_V2_HEARD + _BIDS_V2_SAID),
    Upgrade("what a book hears, and keeps, is of a new kind in one release", _OFFERS_V2),
    Upgrade("a message that nobody said before", _NEW_KIND),
    Upgrade("an optional field is heard before it is said", _FILE_HEARD + _FILE_SAID, before=_FILE_HEARD),
    Upgrade("snapshots of books have another format", _FORMAT),
    Upgrade("a slot is open for longer, and an offer of a whole loan for less long", _DEFAULTS),
)

TOGETHER = (
    Upgrade("all that one release may do at once", _V2_HEARD + _V2_SAID + _OFFERS_V2 + _NEW_KIND + _FORMAT + _DEFAULTS),
    Upgrade("all that is heard one release before it is said", _BIDS_V2_HEARD + _BIDS_V2_SAID + _FILE_HEARD + _FILE_SAID, before=_BIDS_V2_HEARD + _FILE_HEARD),
)
"""The same in two releases, for the tests: to load a copy takes as long as ten worlds."""

FORBIDDEN = (
    Upgrade(
        "a field has another name in the same kind",
        (
            Change(_EVENTS, "    shard: int\n    said_at: datetime\n", "    part: int\n    said_at: datetime\n"),
            Change(
                _EVENTS,
                '    def group(self) -> str:\n        return f"{self.tenant_id}/{self.originator_id}/{self.shard:02d}"\n\n\nclass OfferWithdrawal',
                '    def group(self) -> str:\n        return f"{self.tenant_id}/{self.originator_id}/{self.part:02d}"\n\n\nclass OfferWithdrawal',
            ),
            Change(_SAYS, "upload_seq=chunk.upload_seq, shard=chunk.shard,", "upload_seq=chunk.upload_seq, part=chunk.shard,"),
        ),
        seed=6,
    ),
    Upgrade("an optional field is said in the release that hears it", _FILE_HEARD + _FILE_SAID, seed=24),
    Upgrade(
        "a kind is no longer heard in the release that no longer says it",
        (
            *_V2_HEARD[:2],
            Change(_FLOW, 'Queue("assessments", (AssetsVersioned,))', 'Queue("assessments", (AssetsVersionedV2,))'),
            _V2_HEARD[3],
            Change(_HEARS, "{AssetsVersioned: assess_assets}", "{AssetsVersionedV2: assess_assets}"),
            *_V2_SAID,
        ),
        seed=6,
    ),
    Upgrade(
        "the id of a deposit is made of another cause",
        (
            Change(
                f"{_B}/ledger/posting.py",
                'txn_id = derive("txn", tenant_id, kind, system, external_id)\n    return',
                'txn_id = derive("txn", tenant_id, investor_id, kind, system, external_id)\n    return',
            ),
        ),
        seed=156,
    ),
    Upgrade(
        "a snapshot says another thing in the same format",
        (Change(_CODEC, '"seq": book.seq,', '"seq": book.seq + 1,'), Change(_CODEC, 'plain["version"], plain["seq"],', 'plain["version"], plain["seq"] - 1,')),
    ),
    Upgrade(
        "a book decides otherwise, and no message says so",
        (Change(f"{_B}/matching/match.py", "    room = min(buy.open, buy", "    room = min(buy.open // 2, buy"),),
        seed=3,
    ),
    Upgrade(
        "plans are made otherwise, and nobody is asked to plan again",
        (Change(f"{_B}/trading/gap.py", "    return want if want >= facts.lot_min else 0", "    return want // 2 if want // 2 >= facts.lot_min else 0"),),
        seed=3,
    ),
)


def upgrade_of(seed: int) -> Upgrade | None:
    """What is deployed in the world of this seed where worlds are drawn: something in one of twenty."""
    number, rest = divmod(seed, EVERY)
    return None if rest else ALLOWED[number % len(ALLOWED)]


def world_of(seed: int) -> Any:
    """The world that is drawn with this seed."""
    if (upgrade := upgrade_of(seed)) is None:
        return World(seed)
    new, old = _releases(upgrade)
    return new.module("tests.simulation.world").World(seed, old=old)


@cache
def _releases(upgrade: Upgrade) -> tuple[Release, Code]:
    new = Release(ROOT, upgrade.after, tops={"bourse": LAYER, "tests": ".", "infra": "."})
    changed: dict[Path, str] = new.module("tests.simulation.environments").CHANGED
    changed.update(new.texts)
    return new, Release(ROOT, upgrade.before) if upgrade.before else OURS


def worlds(upgrade: Upgrade, seeds: Iterable[int]) -> Any:
    """The worlds of these seeds in which this is deployed: what was run, and what was found."""
    new, old = _releases(upgrade)
    return new.module("tests.simulation.runs").simulate(seeds, old=old)


def first_broken(upgrade: Upgrade, seeds: Iterable[int]) -> tuple[int, int, str] | None:
    """The first seed whose world breaks by this upgrade, after how many steps, and by which promise; None: all these worlds hold."""
    for seed in seeds:
        for _, steps, _, promise in worlds(upgrade, [seed]).broken:
            return seed, steps, promise
    return None
