"""The gap analyzer: how much each bucket may buy now so that the structure is never violated. Pure: same facts, same plan.

For target volume T, bucket volumes V_b, settled principal I_b, fill ratios p_b = I_b / V_b and step s:

    cap_b  = min(V_b, floor((s + min over j != b of p_j) x V_b))
    want_b = max(0, cap_b - I_b), nothing if below the smallest lot

Why |E_b - w_b * sum E| <= s*T/4 at every moment while buying, E being settled and in-flight principal. The book keeps
E_b <= I_b + volume_b = cap_b as planned: it subtracts from the volume what it published since, and a bid that returns only
lowers E_b. So E_b / V_b <= s + m, where m is the least settled fill of the others when the cap was planned. Settled principal
only grows while buying, and E is never below it, so no bucket's E / V is below m later: all fills lie in an interval of length
s. With w_b + w_rest = 1 the deviation T * w_b * (fill_b - mean fill) is at most w_b (1 - w_b) s T <= s T / 4. Bids in flight
are in E but never in a cap: one that returns was no reason for another bucket to move on.

Two exceptions, both within the same interval. A bucket too small for the step (s * V_b below a lot) uses s_b = lot / V_b, and
s is the largest s_b. A bucket that lacks less than a lot cannot buy any more and counts as full for the others, or they would
wait for it for ever; its fill is above 1 - lot / V_b >= 1 - s, and nobody's is above 1.

Cash: a bid of principal q costs ceil(q * buy_ratio), at most q * buy_ratio + 1 minus a fraction, and a bid is at least a lot,
so volume v never costs more than ceil(v * buy_ratio) + ceil(v / lot). What is planned costs at most the cash there is, and as
bids in flight are inside the volume, they are paid from the same cash. Only a loan whose whole rest is below a lot is bid for
in less; should many of them use up the last cents, the ledger returns the last bid and the next plan asks for what is left.
A plan that takes cash from one bucket for another may be heard after the book published by the plan before: then both are bid
for, and of these bids too the ledger returns what cannot be paid.

Somebody is always served: the bucket that is least full has room for its step, and the step is at least a lot. So with supply
and cash the portfolio fills until every bucket lacks less than a lot.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from bourse.money import ceil_share, split
from bourse.trading.model import PlanFacts, PlannedBucket, PortfolioStatus, Waiting


def plan(facts: PlanFacts) -> tuple[PlannedBucket, ...]:
    """What each bucket of the portfolio buys now, in the order of its buckets, and then what dropped buckets buy: nothing."""
    targets = facts.portfolio.terms.bucket_volumes()
    principals = [bucket.principal for bucket in facts.buckets]
    caps = _caps(facts, targets, principals)
    wants = [_want(facts, cap, principal) for cap, principal in zip(caps, principals, strict=True)]
    volumes = _affordable(facts, wants, [Fraction(principal, target) for principal, target in zip(principals, targets, strict=True)])
    planned = []
    for number, bucket in enumerate(facts.portfolio.terms.buckets):
        target, principal, volume = targets[number], principals[number], volumes[number]
        planned.append(
            PlannedBucket(
                bucket_id=bucket.bucket_id,
                target=target,
                principal=principal,
                cap=caps[number],
                volume=volume,
                cost=cost_max(volume, facts.buy_ratio, facts.lot_min),
                waits_for=_waits_for(facts, target, principal, caps[number], wants[number], volume),
            )
        )
    nothing = {"target": 0, "principal": 0, "cap": 0, "volume": 0, "cost": 0}
    planned += [PlannedBucket(bucket_id=dropped, **nothing, waits_for="not_active") for dropped in facts.dropped]
    return tuple(planned)


def step_of(target: int, lot_min: int, step_percent: Decimal) -> Fraction:
    """The share of a bucket's volume it may run ahead: the product's step, or one lot where that is more."""
    return max(Fraction(step_percent) / 100, Fraction(lot_min, target))


def deviation_bound(targets: Sequence[int], lot_min: int, step_percent: Decimal) -> Fraction:
    """The largest |deviation| of any bucket while buying, as a share of the portfolio's volume: max over b of w_b (1 - w_b) s."""
    whole = sum(targets)
    step = max(step_of(target, lot_min, step_percent) for target in targets)
    return max(Fraction(target, whole) * (1 - Fraction(target, whole)) * step for target in targets)


def cost_max(volume: int, buy_ratio: Decimal, lot_min: int) -> int:
    """Minor units of cash that bids of `volume` in lots can cost at most, each rounded up on its own."""
    if buy_ratio == buy_ratio.to_integral_value():
        return volume * int(buy_ratio)
    return ceil_share(volume, buy_ratio) + -(-volume // lot_min)


def is_full(target: int, principal: int, lot_min: int) -> bool:
    """Whether the bucket lacks less than a lot, so that it can buy no more. One smaller than a lot was never filled at all."""
    return lot_min <= target and target - principal < lot_min


def _caps(facts: PlanFacts, targets: Sequence[int], principals: Sequence[int]) -> list[int]:
    if len(targets) == 1 and facts.single_bucket_at_once:
        return list(targets)
    fills = [Fraction(principal, target) for principal, target in zip(principals, targets, strict=True)]
    seen = [max(fill, Fraction(is_full(target, held, facts.lot_min))) for fill, target, held in zip(fills, targets, principals, strict=True)]
    caps = []
    for number, target in enumerate(targets):
        others = seen[:number] + seen[number + 1 :]
        room = step_of(target, facts.lot_min, facts.step_percent) + (min(others) if others else fills[number])
        caps.append(min(target, int(room * target)))
    return caps


def _want(facts: PlanFacts, cap: int, principal: int) -> int:
    if not _is_buying(facts):
        return 0
    want = max(0, cap - principal)
    return want if want >= facts.lot_min else 0


def _affordable(facts: PlanFacts, wants: Sequence[int], fills: Sequence[Fraction]) -> list[int]:
    """The wants, or what the cash pays of them in the same proportion.

    Where that is less than a lot the fullest bucket stands back, so that little cash is still invested.
    """
    cash = facts.cash - facts.cash_of_others - facts.portfolio.terms.keep_uninvested
    if sum(cost_max(want, facts.buy_ratio, facts.lot_min) for want in wants) <= cash:
        return list(wants)
    served = list(wants)
    while any(served):
        volumes = split(min(_payable(facts, cash, sum(1 for want in served if want)), sum(served)), served)
        small = [number for number, want in enumerate(served) if want and volumes[number] < facts.lot_min]
        if not small:
            return volumes
        served[max((number for number, want in enumerate(served) if want), key=lambda number: (fills[number], number))] = 0
    return served


def _payable(facts: PlanFacts, cash: int, buckets: int) -> int:
    """Principal that `cash` pays for sure when it is bought by so many buckets: each one's cost is rounded up twice."""
    ratio = Fraction(facts.buy_ratio)
    rounding = 0 if ratio.denominator == 1 else Fraction(1, facts.lot_min)
    return max(0, int((cash - (2 * buckets if rounding else 0)) / (ratio + rounding)))


def _is_buying(facts: PlanFacts) -> bool:
    return facts.portfolio.status is PortfolioStatus.ACTIVE and facts.investor_active


def _waits_for(facts: PlanFacts, target: int, principal: int, cap: int, want: int, volume: int) -> Waiting | None:
    if not _is_buying(facts):
        return "not_active"
    if is_full(target, principal, facts.lot_min):
        return "full"
    if volume < want:
        return "cash"
    if want == 0:
        return "cap" if cap <= principal else "lot"
    return None
