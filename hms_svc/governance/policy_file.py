"""Reads a policy file: TOML to rules, with the line number of each error."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from hms_svc.domain.errors import BadPolicy
from hms_svc.domain.verdict import Effect
from hms_svc.machine import read_text_file

BUNDLED: Final = Path(__file__).with_name("bundled.toml")
_TOP_KEYS: Final = ("default", "rules")
_RULE_KEYS: Final = ("id", "effect", "action", "when", "reason")
_EFFECTS: Final = ", ".join(effect.value for effect in Effect)
_HEADER: Final = re.compile(r"\s*\[\[\s*[\"']?rules[\"']?\s*\]\]")
_KEY: Final = re.compile(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*=")
_FENCES: Final = ('"""', "'''")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. `action` is a name or a glob; `when` is a CEL expression, None for always.

    `line` is where the rule begins, `when_line` where its expression begins, both from 1.
    """

    id: str
    effect: Effect
    action: str
    reason: str
    when: str | None
    line: int
    when_line: int


class PolicyFile(msgspec.Struct, frozen=True):
    """The content of a policy: its rules in order, and the effect if none of them applies."""

    name: str
    default: Effect
    rules: tuple[Rule, ...]


def load_policy_file(path: Path | None) -> PolicyFile:
    """Return the policy of a file, or the bundled one for None; raise BadPolicy with file and line."""
    source = path or BUNDLED
    try:
        text = read_text_file(source)
    except ValueError as error:
        raise BadPolicy(f"{source}: the policy {error}") from error
    return read_policy(text, str(source))


def read_policy(text: str, name: str) -> PolicyFile:
    """Return the policy in a TOML text; `name` precedes the line number in each BadPolicy."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadPolicy(f"{name}:{_toml_line(error, text)}: not TOML: {error}") from error
    lines = _Lines(text)
    _known_keys(document, _TOP_KEYS, lines.top, name)
    tables = document.get("rules", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise BadPolicy(f"{name}:{lines.top.get('rules', 1)}: rules must be tables, each [[rules]]")
    rules = tuple(_rule(table, lines.of_rule(index), name) for index, table in enumerate(tables))
    _unique_ids(rules, name)
    return PolicyFile(name, _default(document, lines.top, name), rules)


class _Lines:
    """The line of each key, which tomllib does not report."""

    def __init__(self, text: str) -> None:
        self.top: dict[str, int] = {}
        self.rules: list[dict[str, int]] = []
        fence = ""
        for number, line in enumerate(text.splitlines(), start=1):
            if not fence:
                self._note(line, number)
            fence = _open_fence(line, fence)

    def of_rule(self, index: int) -> dict[str, int]:
        return self.rules[index] if index < len(self.rules) else {"": self.top.get("rules", 1)}

    def _note(self, line: str, number: int) -> None:
        if _HEADER.match(line):
            self.rules.append({"": number})
        elif found := _KEY.match(line):
            keys = self.rules[-1] if self.rules else self.top
            opens_below = line[found.end() :].strip() in _FENCES
            keys.setdefault(found[1], number + opens_below)


def _open_fence(line: str, fence: str) -> str:
    position = 0
    while True:
        candidates = [fence] if fence else [*_FENCES, "#"]
        found = [(at, mark) for mark in candidates if (at := line.find(mark, position)) >= 0]
        if not found or min(found)[1] == "#":
            return fence
        position = min(found)[0] + 3
        fence = "" if fence else min(found)[1]


def _toml_line(error: tomllib.TOMLDecodeError, text: str) -> int:
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else len(text.splitlines()) or 1


def _rule(table: Mapping[str, Any], lines: Mapping[str, int], name: str) -> Rule:
    line = lines[""]
    _known_keys(table, _RULE_KEYS, lines, name)
    for key in ("id", "effect", "action", "reason"):
        if not isinstance(table.get(key), str) or not table[key]:
            fault = "is missing" if key not in table else f"{table[key]!r} is not a text"
            raise BadPolicy(f"{name}:{lines.get(key, line)}: {key} of a rule {fault}")
    when = table.get("when")
    when_line = lines.get("when", line)
    if when is not None and not isinstance(when, str):
        raise BadPolicy(
            f"{name}:{when_line}: when must be a CEL expression in quotes, not {when!r}"
        )
    return Rule(
        id=table["id"],
        effect=_effect(table["effect"], name, lines.get("effect", line)),
        action=table["action"],
        reason=table["reason"],
        when=when,
        line=line,
        when_line=when_line,
    )


def _effect(value: object, name: str, line: int) -> Effect:
    try:
        return Effect(str(value))
    except ValueError as error:
        raise BadPolicy(
            f"{name}:{line}: effect {value!r} is unknown; use one of {_EFFECTS}"
        ) from error


def _default(document: Mapping[str, Any], lines: Mapping[str, int], name: str) -> Effect:
    return _effect(document.get("default", Effect.DENY), name, lines.get("default", 1))


def _known_keys(
    table: Mapping[str, Any], known: Iterable[str], lines: Mapping[str, int], name: str
) -> None:
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            right = f"did you mean {close[0]}" if close else f"known are {', '.join(known)}"
            where = lines.get(key, lines.get("", 1))
            raise BadPolicy(f"{name}:{where}: unknown key {key!r}; {right}")


def _unique_ids(rules: Iterable[Rule], name: str) -> None:
    seen: dict[str, Rule] = {}
    for rule in rules:
        if rule.id in seen:
            raise BadPolicy(
                f"{name}:{rule.line}: rule id {rule.id!r} is used twice, first at line {seen[rule.id].line}"
            )
        seen[rule.id] = rule
