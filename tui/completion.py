"""Completion of filters and commands, and what a typed command means. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.filter_terms import FIELDS
from hms_svc.domain.lifecycle import State
from hms_svc.tui.commands import ALIASES, BY_NAME, Command, Kind, Target
from hms_svc.tui.themes import THEMES

_VALUES: Final = {"state": tuple(State), "suspect": ("yes", "no")}
_NAMES: Final = sorted({*ALIASES, *(name for name in BY_NAME if not name.startswith("go-"))})
_STOPS: Final = frozenset(" (-,")


def complete_filter(text: str, types: Sequence[str]) -> list[str]:
    """Return what the last word of a filter may grow into: a field, a state, or a type that exists."""
    start = max((text.rfind(stop) for stop in _STOPS), default=-1) + 1
    word = text[start:]
    field, colon, value = word.partition(":")
    if text[start - 1 : start] == ",":
        field, colon, value = text[:start].rpartition(" ")[2].partition(":")[0], ":", word
    if not colon:
        names = [f"{name}:" for name in FIELDS if name != "data.PATH"]
        return [text[:start] + grown for grown in _grow(word, names)] if word else []
    known = types if field == "type" else _VALUES.get(field, ())
    return [text[: len(text) - len(value)] + grown for grown in _grow(value, known)]


def complete_command(text: str, types: Sequence[str]) -> list[str]:
    """Return what a command may grow into: its name, or what it is to be done to."""
    name, blank, rest = text.partition(" ")
    if not blank:
        return _grow(name, _NAMES) if name else []
    real, _ = ALIASES.get(name, (name, ""))
    if real == "theme":
        known: Iterable[str] = THEMES
    elif real in {"pause", "resume", "purge"}:
        known = types
    else:
        return [f"{name} {grown}" for grown in complete_filter(rest, types)]
    return [f"{name} {grown}" for grown in _grow(rest, known)]


def _grow(word: str, known: Iterable[str]) -> list[str]:
    return [each for each in known if each.startswith(word) and each != word]


class Typed(msgspec.Struct, frozen=True):
    """A command that was typed: what it is to be done to (None: the choice), and further words."""

    command: Command
    target: Target | None
    words: str = ""


def read_command(text: str) -> Typed:
    """Read `name [ids | filter | type [words]]`; raises BadInput naming what is wrong."""
    name, _, rest = text.strip().removeprefix(":").strip().partition(" ")
    real, before = ALIASES.get(name, (name, ""))
    command = BY_NAME.get(real)
    if command is None:
        near = get_close_matches(name, _NAMES, 1) or _grow(name[:3], _NAMES) or ["help"]
        raise BadInput(f"no command {name!r}; did you mean {near[0]}?")
    rest = f"{before} {rest}".strip()
    if command.group == "go" and rest:
        return Typed(command, None, _filter_behind(name, real, rest))
    if not rest or command.name in {"theme", "filter"}:
        return Typed(command, None, rest)
    if not command.takes:
        return Typed(command, None, rest)
    kind = command.takes[0]
    if kind in {"queue", "worker"}:
        name, _, words = rest.partition(" ")
        return Typed(command, Target(kind=kind, ids=(name,)), words)
    return Typed(command, _chosen(kind, rest))


def _filter_behind(name: str, real: str, rest: str) -> str:
    if real != "go-jobs":
        raise BadInput(f"{name} takes nothing behind it; jobs takes a filter: jobs {rest}")
    return parse_filter(rest).text


def _chosen(kind: Kind, rest: str) -> Target:
    if kind != "job" or not any(sign in rest for sign in ":~<>("):
        return Target(kind=kind, ids=_split(rest))
    return Target(kind=kind, where=parse_filter(rest).text)


def _split(rest: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(rest))
    except ValueError as error:
        raise BadInput(f"{rest!r} has a quote that is not closed") from error
