"""The tables the demo ends in, for a reader who sees the product for the first time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bourse.money import from_minor
from rich.console import Console, Group
from rich.table import Table

from demo.parties import CURRENCY, INVESTORS

_REASONS_MAX: Final = 4
_PERCENT: Final = 100


@dataclass(slots=True)
class Result:
    """What one round of files came to."""

    title: str
    counts: Counter[str]
    reasons: Counter[str]
    metrics: Counter[str]
    totals: Sequence[Mapping[str, Any]]
    seconds: dict[str, float] = field(default_factory=dict)


def show(console: Console, rounds: Sequence[Result], homes: Mapping[str, Mapping[str, Any]], balance: Sequence[Mapping[str, Any]]) -> None:
    """Print everything, most important first."""
    console.print()
    console.print(Group(_rounds(rounds), "", _classes(rounds[-1].totals), "", _portfolios(homes), "", _balance(balance), "", _seconds(rounds)))


def _rounds(rounds: Sequence[Result]) -> Table:
    """One column per round of files, each line a plain statement."""
    table = _table("What happened to the loans", "", *[f"{one.title}" for one in rounds])
    lines = (
        ("records in the files", "received"),
        ("  created: never seen before", "created"),
        ("  changed: a new version was written", "changed"),
        ("  unchanged: nothing was written or sent", "unchanged"),
        ("  withdrawn, repaid or defaulted: off sale", "withdrawn"),
        ("  stale: older than what we have", "stale"),
        ("  rejected", "rejected"),
    )
    for text, name in lines:
        table.add_row(text, *[f"{one.counts[name]:,}" for one in rounds])
    codes = sum((one.reasons for one in rounds), Counter())
    for code, _ in codes.most_common(_REASONS_MAX):
        table.add_row(f"    {code}", *[f"{one.reasons[code]:,}" for one in rounds], style="dim")
    table.add_section()
    for text, name in (("sell offers placed or renewed", "offers_placed"), ("buy offers placed by trading cycles", "buy_offers_placed")):
        table.add_row(text, *[f"{one.metrics[name]:,}" for one in rounds])
    sums = [_summed(one.totals) for one in rounds]
    earlier = [Counter[str](), *sums]
    for text, name in (("investments booked in the ledger", "investments"),):
        table.add_row(text, *[f"{now[name] - before[name]:,}" for now, before in zip(sums, earlier, strict=False)])
    for text, name in (("money moved, investors to originators", "moved"), ("our fees", "fees")):
        table.add_row(text, *[_money(now[name] - before[name]) for now, before in zip(sums, earlier, strict=False)])
    return table


def _classes(totals: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Investments by risk class", "class", "investments", "principal", "share")
    whole = max(1, sum(row["principal"] for row in totals))
    for row in sorted(totals, key=lambda one: str(one["risk_class"])):
        share = row["principal"] * _PERCENT / whole
        table.add_row(str(row["risk_class"] or "-"), f"{row['investments']:,}", _money(row["principal"]), f"{share:.1f} %")
    return table


def _portfolios(homes: Mapping[str, Mapping[str, Any]]) -> Table:
    """Each investor's portfolio: how full it is, and how far from the structure he asked for it ever may be."""
    table = _table("The investors' portfolios", "investor", "wants", "holds", "full", "buckets, percent full", "off balance")
    for investor in INVESTORS:
        for view in homes[investor.investor_id]["portfolios"]:
            target = view["portfolio"]["terms"]["target_volume"]
            filled = ", ".join(f"{one['bucket_id']} {float(one['fill_percent']):.0f}" for one in view["buckets"])
            worst = max(abs(float(one["deviation_percent"])) for one in view["buckets"])
            bound = float(view["deviation_bound_percent"])
            full = f"{view['exposure'] * _PERCENT / target:.0f} %"
            table.add_row(investor.name, _money(target), _money(view["exposure"]), full, filled, f"{worst:.1f} of {bound:.1f} %")
    return table


def _balance(balance: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Trial balance: what all accounts sum to", "currency", "what", "on either side", "sum")
    for row in balance:
        what = row["what"] if row["what"] == "cash" else f"claims on {row['flavors']:,} loans"
        table.add_row(row["currency"], what, _money(row["volume"], row["currency"]), f"{row['total']}")
    return table


def _seconds(rounds: Sequence[Result]) -> Table:
    table = _table("Seconds after the files were sent", "", *[one.title for one in rounds])
    for name in dict.fromkeys(name for one in rounds for name in one.seconds):
        table.add_row(name, *[f"{one.seconds[name]:.1f}" if name in one.seconds else "-" for one in rounds])
    return table


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right" if name != "buckets, percent full" else "left")
    return table


def _summed(totals: Sequence[Mapping[str, Any]]) -> Counter[str]:
    together: Counter[str] = Counter()
    for row in totals:
        together.update({"investments": row["investments"], "moved": row["paid"] - row["fees"], "fees": row["fees"]})
    return together


def _money(minor: int, currency: str = CURRENCY) -> str:
    return f"{from_minor(minor, currency):,} {currency}"
