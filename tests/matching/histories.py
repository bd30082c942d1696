"""Made-up histories of a small, crowded book: few names, small volumes, so that everything that can happen between offers does."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bourse.matching.apply import Heard
from bourse.matching.events import Bid
from hypothesis import strategies as st

from tests.matching import builders as make

SELLS = ("s1", "s2", "s3", "s4", "s5")
BUYS = ("b1", "b2", "b3", "b4", "b5")
CRITERIA: Any = (
    (),
    (make.label_in("risk_class", "A", "B"),),
    (make.label_in("risk_class", "A"), make.number("age", "between", 28, 35)),
    (make.number("age", "gte", 28),),
)
REASONS = ("insufficient_cash", "loan_closed", "oversold", "investor_blocked", "offer_incomplete")

Draw = Callable[[Any], Any]


@dataclass(frozen=True)
class Weather:
    """What offers are like: in a wild book nearly nothing fits, in a calm one nearly everything, and offers fill slowly."""

    sell_volume: Any
    buy_volume: Any
    per_loan: Any
    limit: Any
    product: Any
    sell_ratio: Any
    labels: Any
    ages: Any
    criteria: Any
    originators: Any


WILD = Weather(
    sell_volume=st.integers(0, 120),
    buy_volume=st.integers(0, 150),
    per_loan=st.integers(0, 100),
    limit=st.one_of(st.none(), st.integers(0, 120)),
    product=st.sampled_from(("consumer", "consumer", "consumer", "car")),
    sell_ratio=st.sampled_from((Decimal(1), Decimal("0.997"), Decimal("1.02"))),
    labels=st.sampled_from(({"risk_class": "A"}, {"risk_class": "B"}, {})),
    ages=st.sampled_from(({"age": Decimal(28)}, {"age": Decimal(35)}, {"age": Decimal(36)}, {})),
    criteria=st.sampled_from(CRITERIA),
    originators=st.sampled_from(("ada", "bob", "acme")),
)
CALM = Weather(
    sell_volume=st.integers(80, 200),
    buy_volume=st.integers(10, 90),
    per_loan=st.integers(30, 70),
    limit=st.one_of(st.none(), st.integers(60, 150)),
    product=st.just("consumer"),
    sell_ratio=st.just(Decimal("0.997")),
    labels=st.just({"risk_class": "A"}),
    ages=st.sampled_from(({"age": Decimal(28)}, {"age": Decimal(36)})),
    criteria=st.sampled_from(CRITERIA[:3]),
    originators=st.just("ada"),
)


def sell_offer(draw: Draw, version: int, partial: Any, offer_id: str | None = None, weather: Weather = WILD) -> Any:
    name = offer_id or draw(st.sampled_from(SELLS))
    return make.sell(
        name,
        version,
        draw(weather.sell_volume),
        partial_sale=draw(partial),
        lot_min=draw(st.integers(0, 40)),
        originator_id="acme" if name in ("s1", "s2", "s3") else "bank",
        borrower_id=draw(st.sampled_from((None, "x", "y"))),
        product_id=draw(weather.product),
        sell_ratio=draw(weather.sell_ratio),
        labels=draw(weather.labels),
        numbers=draw(weather.ages),
        expires_at=draw(st.sampled_from((None, None, make.later(5), make.later(20)))),
    )


def buy_offer(draw: Draw, version: int, offer_id: str | None = None, weather: Weather = WILD) -> Any:
    name = offer_id or draw(st.sampled_from(BUYS))
    return make.buy(
        name,
        version,
        draw(weather.buy_volume),
        portfolio_id={"b1": "p1", "b2": "p1", "b3": "p2", "b4": "p2", "b5": "p3"}[name],
        investor_id=draw(weather.originators),
        product_id=draw(weather.product),
        criteria=draw(weather.criteria),
        settled_total=draw(st.integers(0, 60)),
        per_loan_max=draw(weather.per_loan),
        per_borrower_max=draw(weather.limit),
        per_originator_max=draw(weather.limit),
        buy_ratio=draw(st.sampled_from((Decimal("1.01"), Decimal("1.013"), Decimal("1.03")))),
    )


class History:
    """Draws one message after the other; bids that were published may return."""

    def __init__(self, draw: Draw, partial: Any = None) -> None:
        self.draw = draw
        self.weather: Weather = draw(st.sampled_from((CALM, WILD)))
        self.partial = draw(st.sampled_from((st.booleans(), st.just(False)))) if partial is None else st.just(partial)
        self.published: list[Bid] = []
        self.minute = 0
        self.version = 0

    def next(self) -> Heard:
        draw = self.draw
        self.minute += draw(st.integers(0, 2))
        at = make.later(self.minute)
        self.version += 1
        match draw(st.sampled_from(("sells", "sells", "buys", "buys", "withdrawn", "returned"))):
            case "sells":
                offers = [sell_offer(draw, self._version(), self.partial, weather=self.weather) for _ in range(draw(st.integers(1, 3)))]
                return make.sells(*offers, at=at, cause=self.version)
            case "buys":
                offers = [buy_offer(draw, self._version(), weather=self.weather) for _ in range(draw(st.integers(1, 3)))]
                return make.buys(*offers, at=at, cause=self.version)
            case "returned" if self.published:
                return self._returned(at)
            case _:
                reason = draw(st.sampled_from(("withdrawn", "repaid")))
                return make.withdrawn(draw(st.sampled_from(SELLS)), self._version(), reason, at)

    def note(self, bids: list[Bid]) -> None:
        self.published += bids

    def _version(self) -> int:
        """Mostly newer than all before, sometimes old news."""
        return max(1, self.version - self.draw(st.sampled_from((0, 0, 0, 1, 4))))

    def _returned(self, at: Any) -> Heard:
        """One bid, or with a bid of an all-or-nothing offer all bids said with it."""
        one = self.draw(st.sampled_from(self.published))
        back = [one]
        if one.completes:
            back = [bid for bid in self.published if bid.completes and (bid.offer_id, bid.offer_version) == (one.offer_id, one.offer_version)]
        self.published = [bid for bid in self.published if bid not in back]
        reasons = {bid.bid_id: "offer_incomplete" for bid in back[1:]}
        return make.returned(*back, reason=self.draw(st.sampled_from(REASONS)), reasons=reasons, at=at)
