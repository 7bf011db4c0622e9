"""The rules of strict JSON: which values are not allowed, and how the place of a fault is reported."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, Never, TypeAlias

from hms_svc.domain.errors import MalformedJson

JsonValue: TypeAlias = "None | bool | int | float | str | list[JsonValue] | dict[str, JsonValue]"
MAX_DEPTH: Final = 64
MAX_INTEGER: Final = 2**63
_DIGITS_OF_AN_INTEGER: Final = 20
_SHOWN_OF_A_STEP: Final = 80
_CONSTANTS: Final = frozenset({bool, type(None)})
_UNWRITABLE: Final = re.compile("[\0\ud800-\udfff]")


class InvalidJsonValue(Exception):
    """What is wrong with a value. The path to it is added from the inside out while this propagates."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.steps: list[str | int] = []

    def located_message(self) -> str:
        """Return the message with the place of the fault."""
        path = ""
        for step in reversed(self.steps):
            if len(path) >= _SHOWN_OF_A_STEP:
                break
            shown = f"[{step}]" if isinstance(step, int) else step[:_SHOWN_OF_A_STEP]
            path += f".{shown}" if path and isinstance(step, str) else shown
        place = ascii(path[:_SHOWN_OF_A_STEP])[1:-1] if path else "the value"
        return f"{place}: {self}"


class TooDeep(Exception):
    """More levels than are allowed."""


def _unique_pairs(pairs: Iterable[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    result: dict[str, JsonValue] = {}
    for key, value in pairs:
        if key in result:
            raise key_twice(key)
        result[key] = value
    return result


def key_twice(key: str) -> MalformedJson:
    """Return the error of a key that occurs twice."""
    return MalformedJson(f"key {key[:_SHOWN_OF_A_STEP]!r:.80} occurs twice in one object")


def _no_constant(name: str) -> Never:
    raise MalformedJson(f"{name} is not a JSON number")


def _integer(digits: str) -> int:
    """Parse an integer; one with too many digits is rejected unread, since int() is quadratic."""
    return int(digits) if len(digits) <= _DIGITS_OF_AN_INTEGER else MAX_INTEGER


DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique_pairs, parse_constant=_no_constant)
"""Parses a short text; ValueError for an integer of thousands of digits."""
SCALARS: Final = json.JSONDecoder(parse_constant=_no_constant, parse_int=_integer)
"""Parses one number or constant of a long text."""


def check(value: Any, depth: int) -> None:
    """Check a value at this depth against the rules: raises InvalidJsonValue, or TooDeep."""
    kind = type(value)
    if kind is str:
        check_text(value)
    elif kind is float:
        _check_float(value)
    elif kind is int:
        _check_integer(value)
    elif isinstance(value, dict):
        check_object(value, depth)
    elif isinstance(value, list | tuple):
        check_array(value, depth)
    elif value is not None and kind is not bool:
        raise InvalidJsonValue(f"{kind.__name__} is not a JSON value")


def check_object(value: dict[Any, Any], depth: int) -> None:
    """Check an object, its keys and its members against the rules."""
    if depth >= MAX_DEPTH:
        raise TooDeep
    for key, item in value.items():
        if type(key) is not str:
            raise InvalidJsonValue(f"key {key!r:.80} is not a string")
        if not key.isascii() or "\0" in key:
            check_text(key)
        if type(item) is str and item.isascii() and "\0" not in item:
            continue  # most members are such texts and numbers: no call for them
        if type(item) is float and math.isfinite(item):
            continue
        try:
            check(item, depth + 1)
        except InvalidJsonValue as fault:
            fault.steps.append(key)
            raise


def check_array(value: list[Any] | tuple[Any, ...], depth: int) -> None:
    """Check an array and its members against the rules."""
    if depth >= MAX_DEPTH:
        raise TooDeep
    if are_fine(value):
        return
    index = 0
    try:
        for index, item in enumerate(value):  # noqa: B007 - reported if one is at fault
            check(item, depth + 1)
    except InvalidJsonValue as fault:
        fault.steps.append(index)
        raise


def are_fine(values: list[Any] | tuple[Any, ...]) -> bool:
    """Return True if all values are of one simple kind and none is at fault; False if they have to be checked one by one."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return bool(min(values) >= -MAX_INTEGER and max(values) < MAX_INTEGER)
    return kinds <= _CONSTANTS or (kinds == {float} and all(map(math.isfinite, values)))


def check_text(text: str) -> None:
    """Reject a string with a character that is not allowed."""
    if text.isascii() and "\0" not in text:
        return
    if found := _UNWRITABLE.search(text):
        fault = "NUL" if found[0] == "\0" else "a lone surrogate"
        raise InvalidJsonValue(f"{fault} in a string")


def _check_float(value: float) -> None:
    if not math.isfinite(value):
        raise InvalidJsonValue(f"{value} is not a JSON number")


def _check_integer(value: int) -> None:
    if not -MAX_INTEGER <= value < MAX_INTEGER:
        raise InvalidJsonValue("an integer of 2^63 or beyond")
