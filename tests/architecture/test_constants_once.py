"""State codes, limits and sentences stand once, in Python; scripts and statements name them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

import hms_svc
from hms_svc.brokers.redis.constants import CONSTANTS as LUA_CONSTANTS
from hms_svc.brokers.sqlite.statements import CONSTANTS as SQL_CONSTANTS
from hms_svc.domain.lifecycle import State

BROKERS: Final = Path(hms_svc.__file__).parent / "brokers"
SCRIPTS: Final = sorted((BROKERS / "redis" / "lua").glob("*.lua"))
STATEMENTS: Final = sorted((BROKERS / "sqlite" / "sql").glob("*.sql"))
LEAST_TELLING: Final = 200
"""A smaller number may stand for something else, and so may the milliseconds of a second."""
SECOND_MS: Final = 1000
LEAST_LONG: Final = 12
"""A shorter text may stand for something else."""
COMMENT: Final = re.compile(r"--.*")
STATE: Final = re.compile(r"(?i)(?<!for )\bstate\]?\s*(?:=|==|~=|<>|<|<=|>|>=|in)\s*\(?'?\d")
NUMBER: Final = re.compile(r"(?<![\w.])\d+(?![\w.])")


@pytest.mark.parametrize("path", [*SCRIPTS, *STATEMENTS], ids=lambda path: path.name)
def test_no_script_and_no_statement_repeats_a_constant(path: Path) -> None:
    constants = LUA_CONSTANTS if path.suffix == ".lua" else SQL_CONSTANTS
    text = COMMENT.sub("", path.read_text("utf-8"))
    assert not STATE.findall(text)
    telling = {value for value in constants.values() if isinstance(value, int)}
    repeated = {int(found) for found in NUMBER.findall(text)} & telling
    assert not {number for number in repeated if number >= LEAST_TELLING and number != SECOND_MS}
    texts = {value for value in constants.values() if isinstance(value, str)}
    assert not {each for each in texts if len(each) >= LEAST_LONG and each in text}


def test_each_sentence_stands_in_one_module() -> None:
    sentences = {
        value
        for value in LUA_CONSTANTS.values()
        if isinstance(value, str) and " " in value and len(value) >= LEAST_LONG
    }
    assert len(sentences) > 10
    modules = [COMMENT.sub("", path.read_text("utf-8")) for path in BROKERS.parent.rglob("*.py")]
    for sentence in sentences:
        assert sum(f'"{sentence}"' in module for module in modules) <= 1, sentence


def test_every_constant_is_named_by_a_script_or_statement() -> None:
    lua = "".join(path.read_text("utf-8") for path in SCRIPTS)
    sql = "".join(path.read_text("utf-8") for path in STATEMENTS)
    families = (*State.__members__, "TRIGGER_", "REASON_", "FATE_")
    single = [name for name in LUA_CONSTANTS if not name.startswith(families)]
    assert [name for name in single if not re.search(rf"\b{name}\b", lua)] == []
    single = [name for name in SQL_CONSTANTS if not name.startswith(families)]
    assert [name for name in single if f"{{{name}}}" not in sql] == []
