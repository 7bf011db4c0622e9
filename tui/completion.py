"""Completion of filters and commands, and the parser of typed commands. Pure."""

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
from hms_svc.tui.commands import ALIASES, BY_NAME, Command, Target, TargetKind
from hms_svc.tui.themes import THEMES

_VALUES: Final = {"state": tuple(State), "suspect": ("yes", "no")}
_NAMES: Final = sorted({*ALIASES, *(name for name in BY_NAME if not name.startswith("go-"))})
_STOPS: Final = frozenset(" (-,")


def complete_filter(text: str, types: Sequence[str]) -> list[str]:
    """Return completions of the last word of a filter: fields, states, or known types."""
    start = max((text.rfind(stop) for stop in _STOPS), default=-1) + 1
    word = text[start:]
    field, colon, value = word.partition(":")
    if text[start - 1 : start] == ",":
        field, colon, value = text[:start].rpartition(" ")[2].partition(":")[0], ":", word
    if not colon:
        names = [f"{name}:" for name in FIELDS if name != "data.PATH"]
        return [text[:start] + grown for grown in _completions(word, names)] if word else []
    known = types if field == "type" else _VALUES.get(field, ())
    return [text[: len(text) - len(value)] + grown for grown in _completions(value, known)]


def complete_command(text: str, types: Sequence[str]) -> list[str]:
    """Return completions of a command: of its name, or of its argument."""
    name, blank, rest = text.partition(" ")
    if not blank:
        return _completions(name, _NAMES) if name else []
    real, _ = ALIASES.get(name, (name, ""))
    if real == "theme":
        known: Iterable[str] = THEMES
    elif real in {"pause", "resume", "purge"}:
        known = types
    else:
        return [f"{name} {grown}" for grown in complete_filter(rest, types)]
    return [f"{name} {grown}" for grown in _completions(rest, known)]


def _completions(word: str, known: Iterable[str]) -> list[str]:
    return [each for each in known if each.startswith(word) and each != word]


class TypedCommand(msgspec.Struct, frozen=True):
    """A typed command: its target (None: the current selection), and the rest as its argument."""

    command: Command
    target: Target | None
    argument: str = ""


def read_command(text: str) -> TypedCommand:
    """Parse `name [ids | filter | type [argument]]`; raise BadInput naming what is wrong."""
    name, _, rest = text.strip().removeprefix(":").strip().partition(" ")
    real, before = ALIASES.get(name, (name, ""))
    command = BY_NAME.get(real)
    if command is None:
        near = get_close_matches(name, _NAMES, 1) or _completions(name[:3], _NAMES) or ["help"]
        raise BadInput(f"no command {name!r}; did you mean {near[0]}?")
    rest = f"{before} {rest}".strip()
    if command.group == "go" and rest:
        return TypedCommand(command, None, _filter_argument(name, real, rest))
    if not rest or command.name in {"theme", "filter"}:
        return TypedCommand(command, None, rest)
    if not command.takes:
        return TypedCommand(command, None, rest)
    kind = command.takes[0]
    if kind in {"queue", "worker"}:
        name, _, argument = rest.partition(" ")
        return TypedCommand(command, Target(kind=kind, ids=(name,)), argument)
    return TypedCommand(command, _job_target_of(kind, rest))


def _filter_argument(name: str, real: str, rest: str) -> str:
    if real != "go-jobs":
        raise BadInput(f"{name} takes no argument; jobs takes a filter: jobs {rest}")
    return parse_filter(rest).text


def _job_target_of(kind: TargetKind, rest: str) -> Target:
    if kind != "job" or not any(sign in rest for sign in ":~<>("):
        return Target(kind=kind, ids=_split(rest))
    return Target(kind=kind, where=parse_filter(rest).text)


def _split(rest: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(rest))
    except ValueError as error:
        raise BadInput(f"{rest!r} has a quote that is not closed") from error
