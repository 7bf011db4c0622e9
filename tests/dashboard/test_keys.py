"""Remapped keys of commands: they work, they are shown, and invalid ones are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from hms_svc.domain.errors import BadSetting
from hms_svc.tui.command_keys import key_sign, remap
from hms_svc.tui.commands import BY_NAME


@pytest.fixture(autouse=True)
def own_keys() -> Iterator[None]:
    yield
    remap({})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"retyr": "R"}, "[keys]: no command 'retyr'; did you mean retry?"),
        ({"retry": "RR"}, "[keys]: retry = 'RR' is wrong: expected a sign such as X or !"),
        ({"retry": "j"}, "none that moves, opens, folds or leaves"),
        ({"retry": "ctrl+c"}, "ctrl+c"),
        ({"retry": 7}, "retry = 7 is wrong"),
        ({"retry": "x"}, "[keys]: x is assigned to both cancel and retry"),
        ({"filter": "9"}, "[keys]: 9 is assigned to both filter and go-audit"),
    ],
)
def test_invalid_keys_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(BadSetting, match=re.escape(message)):
        remap(keys)
    assert key_sign(BY_NAME["retry"]) == "r"


def test_one_key_may_serve_commands_of_different_kinds_and_two_may_be_swapped() -> None:
    remap({"retry": "x", "cancel": "r", "run-now": "Y"})
    assert [key_sign(BY_NAME[name]) for name in ("retry", "cancel", "run-now")] == ["x", "r", "Y"]
