"""Keys that the configuration gives to commands: they work, are told, and what cannot be meant is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from hms_svc.domain.errors import BadSetting
from hms_svc.tui.commands import BY_NAME, key_sign, remap


@pytest.fixture(autouse=True)
def own_keys() -> Iterator[None]:
    yield
    remap({})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"retyr": "R"}, "[keys]: no command 'retyr'; did you mean retry?"),
        ({"retry": "RR"}, "[keys]: retry = 'RR' is wrong: want a sign such as X or !"),
        ({"retry": "j"}, "none that moves, opens, folds or leaves"),
        ({"retry": "ctrl+c"}, "ctrl+c"),
        ({"retry": 7}, "retry = 7 is wrong"),
        ({"retry": "x"}, "[keys]: x would mean both cancel and retry"),
        ({"filter": "9"}, "[keys]: 9 would mean both filter and go-audit"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(BadSetting, match=re.escape(said)):
        remap(given)
    assert key_sign(BY_NAME["retry"]) == "r"


def test_one_key_may_have_commands_of_different_kinds_and_two_may_change_places() -> None:
    remap({"retry": "x", "cancel": "r", "run-now": "Y"})
    assert [key_sign(BY_NAME[name]) for name in ("retry", "cancel", "run-now")] == ["x", "r", "Y"]
