"""Reading a large JSON text in pieces, strictly: no single call takes long, whatever the text contains.

Between two pieces the interpreter can switch to other threads, while one call of a
C parser would block them all. The work is linear in the text.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from hms_svc.domain.errors import MalformedJson
from hms_svc.domain.json_rules import (
    DECODER,
    MAX_DEPTH,
    SCALARS,
    InvalidJsonValue,
    JsonValue,
    TooDeep,
    are_fine,
    check,
    check_object,
    check_text,
    key_twice,
)

PIECE: Final = 32 * 1024
"""Characters that are read in one call: a few milliseconds, whatever they are."""
MOST_CONTAINERS: Final = 250_000
_BYTES_OF_A_CONTAINER: Final = 16
"""The limit for longer texts: one container for each so many characters."""
_LEAST_ADVANCE: Final = 4096
_SPACE: Final = " \t\n\r"
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_scan: Final = DECODER.scan_once  # type: ignore[attr-defined]  # not in typeshed
_skip_space: Final = re.compile("[ \t\n\r]*").match


def check_containers(text: str) -> None:
    """Reject a text that would take far more work and memory than its size suggests."""
    most = max(MOST_CONTAINERS, len(text) // _BYTES_OF_A_CONTAINER)
    if _brackets(text) <= most:
        return
    found = _brackets(text) - sum(_brackets(string[0]) for string in _STRING.finditer(text))
    if found > most:
        raise MalformedJson(f"more than {most:,} arrays and objects")


def _brackets(text: str) -> int:
    return text.count("[") + text.count("{")


class _Gate:
    """Bounds the work of attempts that fail: after each failure the next one is allowed only further on."""

    def __init__(self) -> None:
        self._closed_until = 0
        self._gap = _LEAST_ADVANCE

    def is_open(self, at: int) -> bool:
        """Return whether an attempt may be made here."""
        return at >= self._closed_until

    def failed(self, at: int) -> None:
        """Close it for a while, and for longer if attempts fail one after another."""
        self._closed_until = at + self._gap
        self._gap *= 2

    def succeeded(self) -> None:
        """Close it for a short while after the next failure."""
        self._gap = _LEAST_ADVANCE


class Scan:
    """Reads one text in pieces, with the error messages of Python's decoder.

    Many members of a container are read in one call up to a comma within 32 KiB, as is a
    container that ends within 32 KiB. If neither is possible, values are
    read one by one.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._for_members = _Gate()
        self._for_containers = _Gate()
        self._scalar = SCALARS.scan_once  # type: ignore[attr-defined]  # not in typeshed
        self._string = DECODER.parse_string  # type: ignore[attr-defined]  # not in typeshed

    def read(self) -> JsonValue:
        """Return the value; raises JSONDecodeError, MalformedJson, and what the checks raise."""
        value: JsonValue
        value, end = self._value(self._after_space(0), 0)
        end = self._after_space(end)
        if end != len(self._text):
            raise self._no_json("Extra data", end)
        return value

    def _value(self, at: int, depth: int) -> tuple[Any, int]:
        first = self._text[at : at + 1]
        if first == '"':
            return self._checked_string(at + 1)
        if first and first in "[{":
            whole = self._whole(at)
            if whole is not None:
                check(whole[0], depth)
                return whole
            return self._array(at + 1, depth) if first == "[" else self._object(at + 1, depth)
        try:
            value, end = self._scalar(self._text, at)
        except StopIteration as error:
            raise self._no_json("Expecting value", at) from error
        check(value, depth)
        return value, end

    def _array(self, at: int, depth: int) -> tuple[list[Any], int]:
        if depth >= MAX_DEPTH:
            raise TooDeep
        values: list[Any] = []
        at = self._after_space(at)
        if self._text[at : at + 1] == "]":
            return values, at + 1
        try:
            while True:
                while (some := self._members("[", at, "]")) is not None:
                    members, at = some
                    if are_fine(members):
                        values += members
                        continue
                    for member in members:
                        check(member, depth + 1)
                        values.append(member)
                value, at = self._value(at, depth + 1)
                values.append(value)
                mark, at = self._mark(at)
                if mark == "]":
                    return values, at
                if mark != ",":
                    raise self._no_json("Expecting ',' delimiter", at - len(mark))
                at = self._after_space(at)
        except InvalidJsonValue as fault:
            fault.steps.append(len(values))
            raise

    def _object(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        if depth >= MAX_DEPTH:
            raise TooDeep
        members: dict[str, Any] = {}
        mark, at = self._mark(at)
        if mark == "}":
            return members, at
        while True:
            while mark == '"' and (some := self._members("{", at - 1, "}")) is not None:
                self._add(members, some[0], depth)
                mark, at = self._mark(some[1])
            if mark != '"':
                message = "Expecting property name enclosed in double quotes"
                raise self._no_json(message, at - len(mark))
            at = self._member(members, at, depth)
            mark, at = self._mark(at)
            if mark == "}":
                return members, at
            if mark != ",":
                raise self._no_json("Expecting ',' delimiter", at - len(mark))
            mark, at = self._mark(at)

    def _add(self, members: dict[str, Any], more: dict[str, Any], depth: int) -> None:
        if not members.keys().isdisjoint(more):
            raise key_twice(next(key for key in more if key in members))
        check_object(more, depth)
        members |= more

    def _members(self, opening: str, at: int, closing: str) -> tuple[Any, int] | None:
        """Read members up to a comma, in one call; return them, and what follows the comma.

        A comma within a string or a container leaves that open, so closing this container
        does not make valid JSON of it.
        """
        if not self._for_members.is_open(at):
            return None
        comma = self._text.rfind(",", at, at + PIECE)
        found = self._try(opening + self._text[at:comma] + closing) if comma > at else None
        if not found:
            self._for_members.failed(at)
            return None
        self._for_members.succeeded()
        return found, self._after_space(comma + 1)

    @staticmethod
    def _try(text: str) -> Any:
        try:
            return DECODER.decode(text)
        except (ValueError, RecursionError):
            return None

    def _whole(self, at: int) -> tuple[Any, int] | None:
        """Read a container that ends within 32 KiB, in one call."""
        if not self._for_containers.is_open(at):
            return None
        try:
            value, end = _scan(self._text[at : at + PIECE], 0)
        except (ValueError, StopIteration, RecursionError):
            self._for_containers.failed(at)
            return None
        self._for_containers.succeeded()
        return value, at + end

    def _member(self, members: dict[str, Any], at: int, depth: int) -> int:
        key, at = self._checked_string(at)
        if key in members:
            raise key_twice(key)
        mark, at = self._mark(at)
        if mark != ":":
            raise self._no_json("Expecting ':' delimiter", at - len(mark))
        try:
            members[key], at = self._value(self._after_space(at), depth + 1)
        except InvalidJsonValue as fault:
            fault.steps.append(key)
            raise
        return at

    def _checked_string(self, at: int) -> tuple[str, int]:
        text, end = self._string(self._text, at, True)
        check_text(text)
        return text, end

    def _mark(self, at: int) -> tuple[str, int]:
        """Return the next character that is not a space, empty at the end, and the position after it."""
        mark = self._text[at : at + 1]
        if mark and mark in _SPACE:
            at = self._after_space(at)
            mark = self._text[at : at + 1]
        return mark, at + len(mark)

    def _after_space(self, at: int) -> int:
        if self._text[at : at + 1] in _SPACE:
            found = _skip_space(self._text, at)
            assert found is not None
            return found.end()
        return at

    def _no_json(self, message: str, at: int) -> json.JSONDecodeError:
        return json.JSONDecodeError(message, self._text, at)
