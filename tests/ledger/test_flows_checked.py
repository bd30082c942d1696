"""After every flow of the marketplace the checker derives the same books from the journal, and the journal carries them to another store."""

from contextlib import closing

from bourse.aws.postgres import Database
from bourse.ledger.actions import Reserve, Transaction
from bourse.ledger.aurora_checker import AuroraChecker

from tests.ledger.builders import NOON, TENANT, AuroraKeeper, bid, chunk, pay_in, pay_out, settle
from tests.ledger.flow_builders import HOUR, bounce, failed, paid, repay, request
from tests.ledger.journal_builders import exported, in_memory, in_postgresql, restored, seal_all

T9 = NOON + 9 * HOUR


def every_flow(keeper: AuroraKeeper) -> None:
    for name in ("ivy", "sam"):
        pay_in(keeper.ledger, name, 2500, f"d-{name}")
    settle(keeper.ledger, chunk(bid(1), bid(2, bucket_id="bold"), bid(3, investor_id="sam", principal=700)))
    repay(keeper.ledger, "p1", principal=101, interest=53, fee=2, outstanding=3333, hour=1)
    repay(keeper.ledger, "p2", principal=7, interest=5, hour=2)
    for number, ends in enumerate((paid, failed)):
        request(keeper.ledger, 20, f"r{number}", hour=3)
        ends(keeper.ledger, request_id=f"r{number}", hour=3)
    request(keeper.ledger, 30, "open", hour=3)
    pay_out(keeper.ledger, "ivy", 400, "out", hour=4)
    bounce(keeper.ledger, "distribution", "p1", hour=5)
    bounce(keeper.ledger, "deposit", "d-ivy", hour=6, receivable=True)
    bounce(keeper.ledger, "withdrawal", "w1", hour=7)
    lien = Reserve("lien", "loan/acme/L1", 600, "claims/sam-pension/safe")
    keeper.books.post(TENANT, [Transaction("lien", (lien,), NOON + 7 * HOUR)], NOON + 7 * HOUR)
    repay(keeper.ledger, "p3", principal=1000, interest=9, hour=8)
    pay_in(keeper.ledger, "sam", 900, "again", hour=8)
    settle(keeper.ledger, chunk(bid(4, investor_id="sam", principal=900, sell_amount=900, buy_amount=900, offer_version=2, offer_volume=2600), number=2), T9)
    bounce(keeper.ledger, "distribution", "p3", hour=10, receivable=True)
    assert keeper.balances()["loans/acme", "loan/acme/L1"] == -3593, "below the floor of the last sale"


def test_the_checker_finds_no_difference_and_the_state_is_the_same_wherever_it_is_carried(aurora: AuroraKeeper) -> None:
    every_flow(aurora)
    with closing(Database(aurora.app_dsn)) as database:
        store = in_postgresql(database)
        seal_all(store)
        assert list(AuroraChecker(database).differences(TENANT)) == []
        lines = exported(store)
        for other, tenant in ((in_memory(), "t2"), (in_postgresql(database), "t3")):
            restored(other, lines, tenant)
            assert other.journal.state_hash(tenant) == store.journal.state_hash(TENANT)
        assert list(AuroraChecker(database).differences("t3")) == []
