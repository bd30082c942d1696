"""The deployed local stack, end to end: a file in, investments booked; the same again changes nothing; a killed worker loses nothing."""

import base64
import hashlib
import os
import signal
from typing import Any

import psutil
import pytest

from infra.local.stack import Stack
from tests.local.market import Market, eventually, gzipped, octets, put, record

# The emulator is started to outlive whoever started it, so nobody waits for its process.
pytestmark = [pytest.mark.local, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

LOANS = 120
TARGET = 1_000_000


def test_a_file_becomes_investments_and_the_same_file_again_changes_nothing(stack: Stack) -> None:
    market = Market(stack, "whole")
    market.fund(cash=2 * TARGET, target=TARGET)
    book = [record(number) for number in range(LOANS)]
    flawed = [*book, record(900, currency=None), record(901, principal=12.345), record(0, grade="C")]
    status = market.processed(market.upload(octets(flawed)))
    assert {name: status[name] for name in ("received", "created", "rejected", "pending")} == {
        "received": LOANS + 3,
        "created": LOANS,
        "rejected": 3,
        "pending": 0,
    }
    assert eventually(market.exposure, lambda exposure: exposure == TARGET) == TARGET
    # Nothing is reserved any more once the last purchase is planned for.
    home = eventually(lambda: market.investor.get("/v1/home"), lambda seen: seen["cash"][0]["reserved"] == 0)
    assert [bucket["exposure"] for bucket in home["portfolios"][0]["buckets"]] == [750_000, 250_000]
    lines = market.investor.get("/v1/statement?currency=USD&since=2020-01-01T00:00:00Z&until=2100-01-01T00:00:00Z")
    assert home["cash"][0]["available"] == lines[-1]["balance"] == sum(line["amount"] for line in lines)
    assert market.totals() == {}

    again = market.processed(market.upload(octets(book)))
    assert (again["unchanged"], again["created"], again["changed"]) == (LOANS, 0, 0)
    assert market.exposure() == TARGET
    assert market.totals() == {}


def test_an_asset_shows_its_versions_its_assessment_its_offer_and_its_bids(stack: Stack) -> None:
    market = Market(stack, "trace")
    market.fund(cash=200_000, target=100_000)
    upload_id = market.upload(octets([record(number) for number in range(12)]))
    market.processed(upload_id)
    eventually(market.exposure, lambda exposure: exposure == 100_000)
    later = market.upload(octets([record(0, outstanding_principal="4900.00"), record(3, status="repaid")]))
    status = market.processed(later)
    assert (status["changed"], status["withdrawn"]) == (1, 1)
    asset = market.originator.get("/v1/assets/L-00000")
    assert [version["version"] for version in asset["history"]["versions"]] == [1, 2]
    assert asset["history"]["versions"][1]["changed_fields"] == ["outstanding_principal_minor"]
    assert [version["upload_id"] for version in asset["history"]["versions"]] == [upload_id, later]
    assert asset["history"]["assessments"][0]["facts"]["grade"] == "A"
    assert {bid["outcome"] for bid in asset["bids"]} == {"settled"}
    assert market.originator.get("/v1/assets/L-00003")["history"]["versions"][1]["change"] == "withdrawn"


def test_a_worker_killed_again_and_again_loses_nothing(stack: Stack) -> None:
    market = Market(stack, "killed")
    market.fund(cash=2 * TARGET, target=TARGET)
    upload_id = market.upload(gzipped(octets([record(number) for number in range(LOANS)])), compressed=True)
    killed = 0

    def kill_then_look() -> int:
        nonlocal killed
        if killed < 6:
            killed += _kill_one("settle", "match", "version", "assess", "plan")
        return market.exposure()

    assert eventually(kill_then_look, lambda exposure: exposure == TARGET) == TARGET
    assert killed > 0
    status = market.processed(upload_id)
    assert (status["received"], status["created"]) == (LOANS, LOANS)
    assert market.totals() == {}


def test_a_connection_to_the_database_cut_in_the_middle_loses_nothing(stack: Stack) -> None:
    import psycopg

    market = Market(stack, "cut")
    market.fund(cash=2 * TARGET, target=TARGET)
    market.upload(octets([record(number) for number in range(LOANS)]))
    cuts = 0

    def cut_then_look() -> int:
        nonlocal cuts
        if cuts < 3:
            with psycopg.connect(stack.postgres, autocommit=True) as connection:
                cuts += connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'bourse_app'").rowcount > 0
        return eventually(lambda: _exposure(market), lambda seen: seen is not None)  # type: ignore[no-any-return]

    assert eventually(cut_then_look, lambda exposure: exposure == TARGET) == TARGET
    assert market.totals() == {}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\x04\x00\x00\x00", "BAD_FRAME"),
        (b"\xff\xff\xff\x7f" + b"\x00" * 50, "BAD_FRAME"),
        (octets([record(1)]) + octets([record(2)])[:-7], "TRUNCATED"),
    ],
    ids=["a length of four", "a length of two billion", "a truncated tail"],
)
def test_a_broken_file_ends_where_it_breaks_and_says_so(stack: Stack, content: bytes, code: str) -> None:
    market = Market(stack, "broken")
    status = market.processed(market.upload(content))
    assert (status["state"], status["failure"]["code"]) == ("failed", code)


def test_an_upload_that_is_not_what_was_agreed_is_refused_by_the_store(stack: Stack) -> None:
    market = Market(stack, "refused")
    content = octets([record(1)])
    checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
    slot: dict[str, Any] = market.originator.post("/v1/uploads", {"size_bytes": len(content), "checksum_sha256": checksum})
    assert put(slot, content[:-1] + b"x") in (400, 403)
    assert put(slot, content) == 200
    assert put(slot, content) == 412


def test_strangers_are_not_let_in(stack: Stack) -> None:
    from demo.api import request

    for token in ("", "Bearer x.y.z", f"Bearer {stack.tokens['operator']}"):
        headers = {"Authorization": token} if token else {}
        assert request("GET", f"{stack.investor_api}/v1/home", None, headers)[0] in (401, 403)


def _exposure(market: Market) -> int | None:
    """The exposure, or None while the API is without its database."""
    from demo.api import ApiError

    try:
        return market.exposure()
    except ApiError as error:
        if error.status not in (500, 503):
            raise
        return None


def _kill_one(*functions: str) -> int:
    """Kill the process of one warm function of this stack's emulator; 0 when none is warm."""
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        if "_worker.py" in words and any(name in words for name in functions) and "bourse" in words:
            os.kill(process.pid, signal.SIGKILL)
            return 1
    return 0
