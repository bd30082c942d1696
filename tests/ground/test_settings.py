"""Settings: typed, and a wrong one is refused with the variable's name before any work is done."""

import pytest
from bourse.aws.settings import SettingError, collect_seconds, text, whole


@pytest.mark.parametrize("value", [None, "", "thirty", "-1", "1.5", "3e2", "٣", "901", "0", " 30"])
def test_a_wrong_setting_is_refused_with_the_variables_name(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("SOME_SECONDS", raising=False)
    if value is not None:
        monkeypatch.setenv("SOME_SECONDS", value)
    with pytest.raises(SettingError, match="SOME_SECONDS"):
        whole("SOME_SECONDS", least=1, most=900)


def test_a_setting_has_its_type_and_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLLECT_SECONDS", raising=False)
    assert collect_seconds() == 30
    monkeypatch.setenv("COLLECT_SECONDS", "1")
    assert collect_seconds() == 1
    with pytest.raises(SettingError, match="NOT_THERE"):
        text("NOT_THERE")
