"""The operator's command for the books: what it prints, and what it ends with."""

from collections.abc import Callable
from io import StringIO
from typing import get_args

import orjson
import psycopg
import pytest
from bourse.aws import books as command
from bourse.aws.books import main
from bourse.aws.postgres import Database
from bourse.ledger.checker import PARTS, Code
from bourse.ledger.findings import FINDINGS

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import T
from tests.ledger.journal_builders import in_postgresql, something_of_everything

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(fresh_database: FreshDatabase, database: Database, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, on books with something of everything: its exit code, and what it printed to either side."""
    monkeypatch.setenv("DATABASE_URL", fresh_database.app_dsn)
    something_of_everything(in_postgresql(database))

    def run_it(*arguments: str, lines: str = "") -> tuple[int, str, str]:
        out, told = StringIO(), StringIO()
        return main(arguments, out, told, StringIO(lines)), out.getvalue(), told.getvalue()

    return run_it


def test_a_check_of_good_books_ends_with_nought_and_tells_how_far_it_is(run: Run) -> None:
    code, out, told = run("check", "--tenant", T)
    assert (code, out) == (0, "")
    assert told.splitlines()[0] == f"0:00 lots (1 of {len(PARTS)})"
    assert [line.split()[1] for line in told.splitlines()[: len(PARTS)]] == list(PARTS)
    assert told.splitlines()[-1] == "0 differences"


def test_a_check_prints_each_difference_and_ends_with_one(run: Run, fresh_database: FreshDatabase) -> None:
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        owner.execute("set session_replication_role = 'replica'")
        owner.execute("update books.txn set correlation_id = 'x' where txn_id = 'first'")
    code, out, told = run("check", "--tenant", T)
    assert code == 1
    assert out.startswith("HASH_MISMATCH entry ")
    assert told.endswith("1 differences\n")
    assert "HASH_MISMATCH (1): what was sealed is not what is there" in told
    assert "What to do: stop postings of this tenant" in told


def test_every_kind_of_difference_has_a_meaning_and_something_to_do() -> None:
    assert FINDINGS.keys() == set(get_args(Code))
    assert all(one.means and one.do for one in FINDINGS.values())


def test_the_blocks_that_a_sealing_prints_are_the_witnesses_of_a_check(run: Run) -> None:
    code, out, _ = run("seal", "--tenant", T)
    [block] = out.split()
    assert code == 0
    assert run("seal", "--tenant", T)[1] == "", "sealed again nothing is sealed"
    assert run("witness", "--tenant", T)[:2] == (0, out)
    assert run("witness", "--tenant", "t2")[0] == 1, "nothing is sealed there"
    assert run("check", "--tenant", T, "--witness", block)[0] == 0
    code, out, _ = run("check", "--tenant", T, "--witness", block[:-1] + ("0" if block[-1] != "0" else "1"))
    assert (code, out.split()[0]) == (1, "WITNESS_DIFFERS")


def test_a_long_export_and_import_tell_how_far_they_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "LINES_TOLD", 10)
    _, lines, told = run("export", "--tenant", T)
    assert told.splitlines() == [f"{count} lines" for count in range(10, len(lines.splitlines()) + 1, 10)]
    assert run("import", "--tenant", "t2", lines=lines)[2].splitlines()[:-1] == told.splitlines()


def test_what_is_exported_can_be_imported_for_another_tenant(run: Run) -> None:
    code, lines, _ = run("export", "--tenant", T)
    assert code == 0
    code, _, told = run("import", "--tenant", "t2", lines=lines)
    assert code == 0
    assert told.endswith(lines.rsplit('"state":"', 1)[1][:64] + "\n")
    assert run("import", "--tenant", "t2", lines=lines)[2].startswith("0 entries")
    assert run("check", "--tenant", "t2")[0] == 0
    code, _, told = run("import", "--tenant", "t3", lines=lines.replace("company", "compani"))
    assert code == 1
    assert "LINE_CHANGED" in told


def test_the_trial_balance_ends_with_the_sum_of_each_flavor(run: Run) -> None:
    code, out, _ = run("balance", "--tenant", T, "--effective-at", "2026-01-05T09:00:00+00:00")
    assert code == 0
    assert out.splitlines() == [
        "flavor\taccount\tdebits\tcredits\tbalance",
        "usd\tann\t0\t150\t150",
        "usd\tworld\t150\t0\t-150",
        "usd\t2 accounts\t150\t150\t0",
    ]


@pytest.mark.parametrize(
    "arguments", [(), ("check",), ("check", "--tenant", "t1", "--witness", "1:ab"), ("balance", "--tenant", "t1", "--known-at", "2026-01-05T09:00:00")]
)
def test_what_cannot_be_read_ends_with_two_and_says_how_it_is_used(run: Run, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert "usage: python -m bourse.aws.books" in capsys.readouterr().err


def test_a_database_that_is_not_there_ends_with_three(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert run("check", "--tenant", T)[0] == 3


def _line(number: int, amount: object = 5, **more: object) -> str:
    document = {
        "txn_id": f"opening.{number}",
        "effective_at": "2026-01-31T00:00:00Z",
        "actions": [{"type": "issue", "flavor_id": "usd", "amount": amount, "destination": "ann"}],
        **more,
    }
    return orjson.dumps(document).decode() + "\n"


def test_lines_are_posted_and_posted_again_they_change_nothing(run: Run) -> None:
    lines = "".join(_line(number) for number in range(2_500))
    before = run("balance", "--tenant", T)[1]
    code, out, told = run("post", "--tenant", T, lines=lines)
    assert (code, told) == (0, "2,500 transactions were posted, 0 were posted before\n")
    answers = [orjson.loads(line) for line in out.splitlines()]
    assert [one["txn_id"] for one in answers] == [f"opening.{number}" for number in range(2_500)]
    assert not any(one["before"] for one in answers)
    after = run("balance", "--tenant", T)[1]
    assert after != before
    code, out, told = run("post", "--tenant", T, lines=lines)
    assert (code, told) == (0, "0 transactions were posted, 2,500 were posted before\n")
    assert [{**orjson.loads(line), "before": False} for line in out.splitlines()] == answers
    assert run("balance", "--tenant", T)[1] == after


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (_line(1_050, -3), "AMOUNT_INVALID"),
        (_line(1_050, 1.5), "AMOUNT_INVALID"),
        (_line(1_050, 2**63), "AMOUNT_INVALID"),
        ("{\n", "FIELD_INVALID"),
        ("\n", "FIELD_INVALID"),
        ("[]\n", "FIELD_INVALID"),
        (_line(1_050, colour="red"), "FIELD_UNKNOWN"),
        (_line(1_050, tags={"x": "y" * 9_000}), "TAGS_INVALID"),
        (_line(1_050, actions=[{"type": "transfer", "flavor_id": "usd", "amount": 10**15, "source": "ann", "destination": "ben"}]), "INSUFFICIENT_FUNDS"),
        (_line(1_050, actions=[{"type": "issue", "flavor_id": "none", "amount": 1, "destination": "ann"}]), "FLAVOR_UNKNOWN"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_number_and_batches_before_it_stand(run: Run, wrong: str, said: str) -> None:
    lines = [_line(number) for number in range(1_100)]
    lines[1_050] = wrong
    code, out, told = run("post", "--tenant", T, lines="".join(lines))
    assert code == 1
    assert len(out.splitlines()) == 1_000, "whole batches"
    assert told.startswith(f"1,000 transactions were posted, 0 were posted before\nrefused: {said}: ")
    assert ", at lines.1051" in told
    lines[1_050] = _line(1_050)
    code, out, told = run("post", "--tenant", T, lines="".join(lines))
    assert (code, len(out.splitlines())) == (0, 1_100)
    assert run("check", "--tenant", T)[0] == 0
