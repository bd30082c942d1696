"""The matcher's numbers: `python -m tests.bench.bench_matching [--offers N]` (about a minute).

100,000 open sell offers against 1,000 buy offers of 200 distinct criteria, in both orders of arrival, then updates; memory of the
book; snapshot and hash; and the naive matcher of the tests at a size it can bear, beside the book at the same size.
"""

import argparse
import gc
import random
import resource
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from bourse.matching.apply import apply
from bourse.matching.book import Book
from bourse.matching.codec import dump, load, state_hash

from infra.local.arguments import positive
from tests.matching import builders as make
from tests.matching.builders import book_after
from tests.matching.oracle import Oracle

CRITERIA = 200
GRADES = "ABCDEFG"
COUNTRIES = ("DE", "ES", "FI", "FR", "LV", "PL", "PT")


def sell_offers(number: int, chance: random.Random, whole_share: float = 0.02) -> list[Any]:
    """Loans of 1,000 to 20,000 with a minimum lot of 10.00."""
    return [
        make.sell(
            f"off_{n:024d}",
            volume=chance.randrange(100_000, 2_000_000),
            loan_id=f"L-{n}",
            originator_id=f"originator-{n % 20}",
            borrower_id=f"borrower-{n % 90_000}",
            partial_sale=chance.random() >= whole_share,
            lot_min=1_000,
            sell_ratio=Decimal("0.985"),
            labels={"risk_class": chance.choice(GRADES), "country": chance.choice(COUNTRIES), "employment": chance.choice(("employed", "self"))},
            numbers={
                "interest_rate": Decimal(chance.randrange(400, 2_400)) / 100,
                "age": Decimal(chance.randrange(18, 80)),
                "term_months": Decimal(chance.choice((12, 24, 36, 60))),
                "income_month": Decimal(chance.randrange(1_000, 9_000)),
            },
        )
        for n in range(number)
    ]


def criteria(number: int, chance: random.Random) -> list[Any]:
    """Distinct criteria as investors write them: grades, countries, an age range, a least interest."""
    made: dict[Any, None] = {}
    while len(made) < number:
        first = chance.randrange(len(GRADES) - 1)
        parts = [make.label_in("risk_class", *GRADES[first : first + chance.randrange(1, 4)])]
        if chance.random() < 0.6:
            parts.append(make.label_in("country", *sorted(chance.sample(COUNTRIES, 4))))
        if chance.random() < 0.5:
            low = chance.randrange(18, 50)
            parts.append(make.number("age", "between", low, low + 20))
        if chance.random() < 0.4:
            parts.append(make.number("interest_rate", "gte", chance.randrange(4, 12)))
        made[tuple(parts)] = None
    return list(made)


def buy_offers(number: int, asked: list[Any], chance: random.Random, volume: int = 500_000, version: int = 1) -> list[Any]:
    """Buckets that put 25.00 to 100.00 into each loan."""
    return [
        make.buy(
            f"buy_{n:024d}",
            version,
            volume,
            portfolio_id=f"portfolio-{n // 2}",
            investor_id=f"investor-{n // 2}",
            criteria=asked[n % len(asked)],
            per_loan_max=chance.choice((2_500, 5_000, 10_000)),
            per_originator_max=volume,
            buy_ratio=Decimal("1.005"),
        )
        for n in range(number)
    ]


def chunks(offers: list[Any], message: Callable[..., Any], cause: str) -> list[Any]:
    """Messages of 200 offers, as they travel."""
    return [message(*offers[at : at + 200], cause=f"{cause}-{at}") for at in range(0, len(offers), 200)]


def timed(label: str, messages: Iterable[Any], hear: Callable[[Any], int], offers: int) -> None:
    began = time.perf_counter()
    matches = sum(hear(message) for message in messages)
    row(label, offers, matches, time.perf_counter() - began)


def row(label: str, offers: int, matches: int, seconds: float) -> None:
    print(f"| {label:<52} | {offers:>8,} | {matches:>8,} | {seconds:>7.2f} | {offers / seconds:>9,.0f} | {matches / seconds:>9,.0f} |", flush=True)


def resident_mb() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


def at_size(sells: int, buys: int) -> None:
    chance = random.Random(7)
    asked = criteria(CRITERIA, chance)
    offered, wanted = sell_offers(sells, chance), buy_offers(buys, asked, chance)
    gc.collect()
    gc.freeze()
    before = resident_mb()
    book = Book(make.BOOK)

    def hear(message: Any) -> int:
        return len(apply(book, message).bids)

    timed(f"{sells:,} sell offers arrive, nobody buys yet", chunks(offered, make.sells, "s"), hear, sells)
    timed(f"{buys:,} buy offers of {CRITERIA} criteria arrive", chunks(wanted, make.buys, "b"), hear, buys)
    used = resident_mb() - before
    timed("each raised and matched again", chunks(buy_offers(buys, asked, chance, 900_000, 2), make.buys, "b2"), hear, buys)
    more = sell_offers(sells, chance)[: sells // 10]
    newer = [offer.model_copy(update={"version": 2}) for offer in more]
    timed("a tenth of the sell offers replaced", chunks(newer, make.sells, "s2"), hear, len(newer))
    began = time.perf_counter()
    octets = dump(book)
    dumped = time.perf_counter()
    again = load(make.BOOK, octets)
    loaded = time.perf_counter()
    same = state_hash(again) == state_hash(book)
    print(f"\nbook: {used:,.0f} MB beside its offers as messages; snapshot {len(octets) / 2**20:.1f} MB, written in {dumped - began:.2f} s,")
    print(f"opened in {loaded - dumped:.2f} s; same hash after it: {same}\n")
    head()
    book = Book(make.BOOK)
    timed(f"the other order: {buys:,} large buy offers wait", chunks(buy_offers(buys, asked, chance, 50_000_000), make.buys, "b"), hear, buys)
    timed("and sell offers arrive", chunks(offered[: sells // 50], make.sells, "s"), hear, sells // 50)


def undoing(sells: int, buys: int, whole_share: float) -> None:
    """The dearest thing a book does: a plan of two buckets whose reservations others were built on."""
    chance = random.Random(7)
    asked = criteria(CRITERIA, chance)
    book = book_after(*chunks(sell_offers(sells, chance, whole_share), make.sells, "s"), *chunks(buy_offers(buys, asked, chance), make.buys, "b"))
    newer = buy_offers(buys, asked, chance, version=2)
    plans = [make.buys(*newer[at : at + 2], cause=f"p-{at}") for at in range(0, 400, 40)]
    reserved = sum(len(sell.placed) for sell in book.reserving.values())
    timed(f"plans, {whole_share:.0%} all-or-nothing, {reserved:,} reservations", plans, lambda message: len(apply(book, message).bids), 2 * len(plans))


def beside_the_oracle(sells: int, buys: int) -> None:
    chance = random.Random(7)
    asked = criteria(20, chance)
    offered, wanted = sell_offers(sells, chance), buy_offers(buys, asked, chance, 50_000)
    book, oracle = Book(make.BOOK), Oracle()
    hearers: dict[str, Callable[[Any], int]] = {"book": lambda message: len(apply(book, message).bids), "naive": lambda message: len(oracle.hear(message))}
    for name, hear in hearers.items():
        for message in chunks(offered, make.sells, "s"):
            hear(message)
        timed(f"{name}: {sells:,} open sell offers, {buys:,} buy offers", chunks(wanted, make.buys, "b"), hear, buys)


def head() -> None:
    print("| what                                                 |   offers |  matches | seconds |  offers/s | matches/s |")
    print("|------------------------------------------------------|---------:|---------:|--------:|----------:|----------:|")


def main() -> None:
    parser = argparse.ArgumentParser(description="The matcher's numbers.")
    parser.add_argument("--offers", type=positive, default=100_000, metavar="N", help="open sell offers; 100,000 unless said")
    asked = parser.parse_args()
    head()
    at_size(asked.offers, 1_000)
    print()
    head()
    for whole_share in (0.02, 0.2, 1.0):
        undoing(20_000, 1_000, whole_share)
    print()
    head()
    beside_the_oracle(3_000, 30)


if __name__ == "__main__":
    main()
