"""Commands that are told nonsense say so, and start nothing."""

from collections.abc import Callable, Sequence

import pytest

from demo import run as demo
from infra.local.arguments import positive
from tests.local.chaos import __main__ as chaos
from tests.simulation import __main__ as simulation


def test_a_whole_number_is_taken() -> None:
    assert (positive("1"), positive("10000")) == (1, 10_000)


def _simulation(_: Sequence[str]) -> int:
    return simulation.main()


@pytest.mark.parametrize(
    ("main", "line", "said"),
    [
        (demo.main, "--loans 0", "'0' is not a whole number of at least 1"),
        (demo.main, "--loans many", "'many' is not a whole number of at least 1"),
        (chaos.main, "--loans -5", "'-5' is not a whole number of at least 1"),
        (chaos.main, "--rounds 1,5", "'1,5' is not a whole number of at least 1"),
        (chaos.main, "--rounds 1.5", "'1.5' is not a whole number of at least 1"),
        (_simulation, "--minutes 0", "--minutes is more than 0"),
        (_simulation, "--beside nosuch", "there is no such commit here"),
    ],
)
def test_what_makes_no_sense_is_refused(
    main: Callable[[Sequence[str]], int], line: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["command", *line.split()])
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
