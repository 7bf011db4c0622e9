"""Completion of filters and commands, and what a typed command means. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.filter_terms import FIELDS
from hms_svc.domain.lifecycle import State
from tui.commands import BY_NAME, Command, Kind, Target
from tui.themes import THEMES

_VALUES: Final = {"state": tuple(State), "suspect": ("yes", "no")}
_STOPS: Final = frozenset(" (-,")


def complete_filter(text: str, types: Sequence[str]) -> str | None:
    """Grow the last word of a filter: a field, a state, or a type that exists."""
    start = max((text.rfind(stop) for stop in _STOPS), default=-1) + 1
    word = text[start:]
    field, colon, value = word.partition(":")
    if text[start - 1 : start] == ",":
        field, colon, value = text[:start].rpartition(" ")[2].partition(":")[0], ":", word
    if not colon:
        grown = _grow(word, [f"{name}:" for name in FIELDS if name != "data.PATH"])
        return None if grown is None else text[:start] + grown
    known = types if field == "type" else _VALUES.get(field, ())
    grown = _grow(value, known)
    return None if grown is None else text[: len(text) - len(value)] + grown


def complete_command(text: str, types: Sequence[str]) -> str | None:
    """Grow the name of a command, or what it is to be done to."""
    name, blank, rest = text.partition(" ")
    if not blank:
        return _grow(name, sorted(BY_NAME))
    if name == "theme":
        known: Iterable[str] = THEMES
    elif name in {"pause", "resume", "purge"}:
        known = types
    else:
        grown = complete_filter(rest, types)
        return None if grown is None else f"{name} {grown}"
    grown = _grow(rest, known)
    return None if grown is None else f"{name} {grown}"


def _grow(word: str, known: Iterable[str]) -> str | None:
    if not word:
        return None
    return next((each for each in known if each.startswith(word) and each != word), None)


class Typed(msgspec.Struct, frozen=True):
    """A command that was typed: what it is to be done to (None: the choice), and further words."""

    command: Command
    target: Target | None
    words: str = ""


def read_command(text: str) -> Typed:
    """Read `name [ids | filter | type [words]]`; raises BadInput naming what is wrong."""
    name, _, rest = text.strip().partition(" ")
    command = BY_NAME.get(name)
    if command is None:
        near = _grow(name[:3], sorted(BY_NAME)) or "help"
        raise BadInput(f"no command {name!r}; did you mean {near}?")
    rest = rest.strip()
    if not rest or command.name in {"theme", "filter"}:
        return Typed(command, None, rest)
    if not command.takes:
        return Typed(command, None, rest)
    if command.takes[0] == "queue":
        type, _, words = rest.partition(" ")
        return Typed(command, Target(kind="queue", ids=(type,)), words)
    return Typed(command, _chosen(command.takes[0], rest))


def _chosen(kind: Kind, rest: str) -> Target:
    if kind != "job" or not any(sign in rest for sign in ":~<>("):
        return Target(kind=kind, ids=_split(rest))
    return Target(kind=kind, where=parse_filter(rest).text)


def _split(rest: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(rest))
    except ValueError as error:
        raise BadInput(f"{rest!r} has a quote that is not closed") from error
