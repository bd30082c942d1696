"""Eight writers with every kind of posting at once (crowd.py; a million by `python -m tests.ledger.crowd`)."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from bourse.aws.postgres import Database
from bourse.ledger.aurora_books import AuroraBooks

from tests.conftest import FreshDatabase
from tests.ledger.crowd import WRITERS, checked, crowd, is_sound, open_all


def test_eight_writers_with_every_kind_of_posting_lose_and_double_nothing_and_never_wait_crosswise(fresh_database: FreshDatabase) -> None:
    with closing(Database(fresh_database.app_dsn)) as database:
        open_all(AuroraBooks(database))
    with ThreadPoolExecutor(WRITERS) as pool:
        seen = crowd(fresh_database.app_dsn, 200, pool)
    found = checked(fresh_database.migrated_dsn)
    assert found["deadlocks"] == 0
    assert is_sound(seen, found), (seen, found)
    assert seen["posted before"] > 0, "a part of it was submitted by two"
    assert seen["posted"] > 10_000
