"""The scripts as Redis compiles them: what they name, and what each call of them defines."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from hms_svc.brokers.redis import scripts
from hms_svc.brokers.redis.lua_parts import linked, parts_of
from tests.support.lua_code import compiled, result_of

NAMES: Final = sorted(path.stem for path in Path(scripts.__file__).with_name("lua").glob("*.lua"))
SCRIPTS: Final = [name for name in NAMES if name not in scripts.SHARED]
GIVEN: Final = frozenset(
    [
        "ARGV",
        "KEYS",
        "cjson",
        "cmsgpack",
        "ipairs",
        "math",
        "next",
        "pairs",
        "pcall",
        "redis",
        "string",
        "struct",
        "table",
        "tonumber",
        "tostring",
        "type",
        "unpack",
    ]
)
FUNCTIONS_OF_EACH_CALL: Final = {
    "enqueue": 18,
    "claim": 28,
    "settle": 28,
    "absorb": 38,
    "promote": 24,
    "reap": 28,
    "sleep": 4,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_names_only_what_it_or_the_server_defines(name: str) -> None:
    assert compiled(scripts.script(name).text).globals <= GIVEN


@pytest.mark.parametrize(("name", "most"), FUNCTIONS_OF_EACH_CALL.items())
def test_functions_that_each_call_of_a_script_defines(name: str, most: int) -> None:
    assert len(compiled(scripts.script(name).text).made) <= most


def test_what_a_script_does_not_use_is_left_out() -> None:
    shared = (
        "local one = 1\nlocal function used()\n  return one\nend\nlocal function other()\nend\n"
    )
    assert "other" not in linked(parts_of(shared), "return used()\n")
    assert "local one" in linked(parts_of(shared), "return used()\n")


def test_what_a_script_rarely_uses_is_defined_when_it_is_called() -> None:
    shared = (
        "local table_of = {}\n"
        "local made = 0\n"
        "local function inner(number)\n  made = made + 1\n  return number * 2\nend\n"
        "function table_of.double(number)\n  return inner(number)\nend\n"
        "local function double(number)\n  return inner(number)\nend\n"
    )
    script = (
        "-- rarely   table_of.double,\n--          double\n"
        "local found = double(1) + double(2) + table_of.double(3)\nreturn found * 10 + made\n"
    )
    text = linked(parts_of(shared), script)
    assert compiled(text).own_globals == set()
    assert not [made for made in compiled(text).made if "inner" in made.globals]
    assert result_of(text) == 123


def test_a_name_that_no_shared_function_has_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody"):
        linked(parts_of("local function one()\nend\n"), "-- rarely   nobody\nreturn one()\n")
