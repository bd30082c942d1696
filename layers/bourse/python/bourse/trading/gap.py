"""The gap analyzer: how much each bucket may buy now so that the structure is never violated. Pure: same facts, same plan.

For target volume T, bucket volumes V_b, settled principal I_b, fill ratios p_b = I_b / V_b and step s:

    cap_b  = min(V_b, floor((s + min over j != b of p_j) x V_b))
    want_b = max(0, cap_b - I_b), nothing if below the smallest lot

Why |E_b - w_b * sum E| <= s*T/4 at every moment while buying, E being settled and in-flight principal: the book keeps
E_b <= I_b + volume_b = cap_b as planned (it subtracts what it published from the volume), so when the cap was planned from
p_min, p_b <= p_min + s afterwards, and as p only grows while buying, the other buckets are then at p_min or above. All p lie in
an interval of length s, so with w_b + w_rest = 1 the deviation T * w_b * (p_b - mean p) is at most w_b (1 - w_b) s T <= s T / 4.
A bucket too small for the step (s * V_b below a lot) uses s_b = lot / V_b, and the bound is the largest s_b's.

Cash: a bid of principal q costs ceil(q * buy_ratio), at most q * buy_ratio + 1 minus a fraction, and a bid is at least a lot,
so volume v never costs more than ceil(v * buy_ratio) + ceil(v / lot). What is planned costs at most the cash there is.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from bourse.money import ceil_share, split
from bourse.trading.model import PlanFacts, PlannedBucket, PortfolioStatus, Waiting


def plan(facts: PlanFacts) -> tuple[PlannedBucket, ...]:
    """What each bucket of the portfolio buys now, in the order of its buckets."""
    targets = facts.portfolio.terms.bucket_volumes()
    principals = [bucket.principal for bucket in facts.buckets]
    caps = _caps(facts, targets, principals)
    wants = [_want(facts, cap, principal) for cap, principal in zip(caps, principals, strict=True)]
    volumes = _affordable(facts, wants)
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


def _caps(facts: PlanFacts, targets: Sequence[int], principals: Sequence[int]) -> list[int]:
    if len(targets) == 1 and facts.single_bucket_at_once:
        return list(targets)
    ratios = [Fraction(principal, target) for principal, target in zip(principals, targets, strict=True)]
    caps = []
    for number, target in enumerate(targets):
        others = ratios[:number] + ratios[number + 1 :]
        room = step_of(target, facts.lot_min, facts.step_percent) + (min(others) if others else ratios[number])
        caps.append(min(target, int(room * target)))
    return caps


def _want(facts: PlanFacts, cap: int, principal: int) -> int:
    if facts.portfolio.status is not PortfolioStatus.ACTIVE or not facts.investor_active:
        return 0
    want = max(0, cap - principal)
    return want if want >= facts.lot_min else 0


def _affordable(facts: PlanFacts, wants: Sequence[int]) -> list[int]:
    """The wants, or what the cash pays of them in the same proportion; a volume below a lot is left for later."""
    cash = facts.cash - facts.cash_of_others - facts.portfolio.terms.keep_uninvested
    whole = sum(wants)
    if cost_max(whole, facts.buy_ratio, facts.lot_min) + len(wants) <= cash or whole == 0:
        return list(wants)
    ratio = Fraction(facts.buy_ratio)
    rounding = 0 if ratio.denominator == 1 else Fraction(1, facts.lot_min)
    # Two more units for each bucket: the cost of each is rounded up twice.
    pays = max(0, int((cash - 2 * len(wants)) / (ratio + rounding)))
    return [volume if volume >= facts.lot_min else 0 for volume in split(pays, wants)]


def _waits_for(facts: PlanFacts, target: int, principal: int, cap: int, want: int, volume: int) -> Waiting | None:
    if facts.portfolio.status is not PortfolioStatus.ACTIVE or not facts.investor_active:
        return "not_active"
    if target - principal < facts.lot_min:
        return "full"
    if volume < want:
        return "cash"
    if want == 0:
        return "cap" if cap <= principal else "lot"
    return None
