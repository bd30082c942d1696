"""The scheduled function that seals: its tick, done twice, on a real PostgreSQL."""

import importlib.util
import json
from types import SimpleNamespace

import pytest
from bourse.aws.postgres import Database

from tests.house.source import ROOT
from tests.ledger.journal_builders import in_postgresql, something_of_everything


def test_a_tick_seals_what_there_is_and_says_how_much(database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(Database, "from_env", classmethod(lambda _: database))
    for name, value in {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}.items():
        monkeypatch.setenv(name, value)
    something_of_everything(in_postgresql(database))
    spec = importlib.util.spec_from_file_location("seal_ledger", ROOT / "functions/seal_ledger/handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    event = json.loads((ROOT / "events/aws/seal_ledger.schedule.json").read_text())
    context = SimpleNamespace(function_name="seal_ledger", aws_request_id="r-1")
    caplog.set_level("INFO", "bourse")
    for _ in range(2):
        assert module.handler(event, context) == {"said": 0}
    with database.transaction("t1") as cursor:
        assert cursor.execute("select count(*), max(cardinality(numbers)) from books.block").fetchone() == (3, 11)
    assert [getattr(line, "ledger_entries_sealed", None) for line in caplog.records if line.name == "bourse"] == [7, 0]
