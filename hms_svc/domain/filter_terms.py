"""The terms of the filter language: its fields, and what each tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from hms_svc.domain.errors import FilterTooCostly
from hms_svc.domain.globs import Glob, has_globs
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import decode
from hms_svc.domain.timestamps import LAST_MS
from hms_svc.domain.views import JobView

MOST_WORK_ON_ONE: Final = 1_000_000_000
"""Characters that a filter may examine in one job, each time it is judged: a few seconds."""
_A_TERM: Final = 500
"""The fixed cost of a term, in characters."""
_TYPE_GLOB: Final = re.compile(r"[a-z0-9*?][a-z0-9._*?-]{0,127}")
_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d|w|)", re.ASCII)
_MILLISECONDS: Final = {
    "ms": 1,
    "s": 1_000,
    "": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
_EXPRESSION: Final = re.compile(r"/.+/", re.DOTALL)
_MISSING: Final = object()


class Subject:
    """One job under test: its payload is decoded once, each text case-folded once, on demand.

    `work` is what the terms have spent so far, in characters examined.
    """

    __slots__ = ("_data", "_folded", "now_ms", "view", "work")

    def __init__(self, view: JobView, now_ms: int) -> None:
        self.view = view
        self.now_ms = now_ms
        self.work = 0
        self._data: object = _MISSING
        self._folded: dict[str, str] = {}

    def spend(self, characters: int) -> None:
        """Count work that is about to be done; FilterTooCostly if it exceeds the limit for one job."""
        self.work += characters + _A_TERM
        if self.work > MOST_WORK_ON_ONE:
            raise FilterTooCostly(
                f"the filter examines more than {MOST_WORK_ON_ONE:,} characters of job "
                f"{self.view.id} alone: use fewer terms that search within texts"
            )

    def contains(self, text: str, folded_word: str) -> bool:
        """Return whether a text contains a word, ignoring case."""
        self.spend(len(text))
        folded = self._folded.get(text)
        if folded is None:
            self.spend(4 * len(text))
            folded = self._folded[text] = text.casefold()
        return folded_word in folded

    def at_path(self, path: tuple[str, ...]) -> object:
        """Return the payload's value at the path (keys, or indexes of arrays), or a sentinel."""
        if self._data is _MISSING:
            self.spend(4 * len(self.view.data))
            try:
                self._data = decode(self.view.data)
            except msgspec.DecodeError:
                self._data = None
        value = self._data
        for step in path:
            if isinstance(value, dict):
                value = value.get(step, _MISSING)
            elif isinstance(value, list) and step.isdecimal() and len(step) < 10:
                value = value[int(step)] if int(step) < len(value) else _MISSING
            else:
                return _MISSING
        return value


Test: TypeAlias = Callable[[Subject], bool]
Getter: TypeAlias = Callable[[JobView], str]
Fits: TypeAlias = Callable[[str, Subject], bool]


class Value(msgspec.Struct, frozen=True):
    """The right side of a term; `literal` if it was quoted, so that `*` and `,` are themselves."""

    text: str
    literal: bool = False

    def alternatives(self) -> tuple[str, ...]:
        """Return the alternatives that commas separate; a quoted value is a single one."""
        return (self.text,) if self.literal else tuple(self.text.split(","))


def make_test(field: str, operator: str, value: Value) -> Test:
    """Return the test of one term; ValueError names the expected form."""
    if operator == "~" and not value.literal and _EXPRESSION.fullmatch(value.text):
        inner = value.text[1:-1]
        raise ValueError(
            f"~ searches for a text, not for a regular expression: write {field}~{inner}, "
            f'{field}:*{inner}* with * and ? in it, or {field}~"{value.text}" for the slashes themselves'
        )
    if field.startswith("data."):
        return _data_test(tuple(field.split(".")[1:]), operator, value)
    maker = _MAKERS.get(field)
    if maker is None:
        known = ", ".join(sorted([*_MAKERS, "data.PATH"]))
        raise ValueError(
            f'no field {field!r:.60}; the fields are {known} (put quotes around text: "a:b")'
        )
    return maker(operator, value)


def mentions(word: str) -> Test:
    """Return the test of a bare word: part of the id, the detail or the failure, ignoring case."""
    folded = word.casefold()

    def test(subject: Subject) -> bool:
        view = subject.view
        return any(subject.contains(text, folded) for text in (view.id, view.detail, view.failure))

    return test


def read_states(value: Value) -> frozenset[State]:
    """Parse the states that a `state:` term names; ValueError lists the valid ones."""
    try:
        return frozenset(State(name) for name in value.alternatives())
    except ValueError as error:
        raise ValueError("state: must be one of " + ", ".join(State)) from error


def read_types(value: Value) -> tuple[str, ...]:
    """Parse the types or globs that a `type:` term names."""
    for glob in value.alternatives():
        if not _TYPE_GLOB.fullmatch(glob):
            raise ValueError("type: takes a type or a pattern such as pothole.*")
    return value.alternatives()


def read_duration_ms(text: str) -> int:
    """Parse `90s`, `5m`, `1h`, `2d`, `1w` (a bare number is seconds) into milliseconds."""
    found = _DURATION.fullmatch(text)
    milliseconds = int(float(found[1]) * _MILLISECONDS[found[2]]) if found else LAST_MS + 1
    if milliseconds > LAST_MS:
        raise ValueError("a duration such as 90s, 5m, 1h or 2d, of at most 7,000 years")
    return milliseconds


def _only(operator: str, allowed: str, field: str) -> None:
    if operator not in allowed.split():
        raise ValueError(f"{field} takes {allowed.replace(' ', ' or ')}, not {operator}")


def _state(operator: str, value: Value) -> Test:
    _only(operator, ":", "state")
    states = read_states(value)
    return lambda subject: subject.view.state in states


def _type(operator: str, value: Value) -> Test:
    _only(operator, ":", "type")
    fits = _pattern(read_types(value), literal=False)
    return lambda subject: fits(subject.view.type, subject)


def _validator(operator: str, value: Value) -> Test:
    _only(operator, ":", "validator")
    fits = _pattern(value.alternatives(), literal=value.literal)
    return lambda subject: (
        subject.view.state is State.REJECTED and fits(subject.view.reason, subject)
    )


def _textual(field: str, get: Getter) -> Callable[[str, Value], Test]:
    def make(operator: str, value: Value) -> Test:
        _only(operator, ": ~", field)
        if operator == "~":
            folded = value.text.casefold()
            return lambda subject: subject.contains(get(subject.view), folded)
        fits = _pattern(value.alternatives(), literal=value.literal)
        return lambda subject: fits(get(subject.view), subject)

    return make


def _failure(operator: str, value: Value) -> Test:
    _only(operator, ": ~", "error")
    if operator == "~":
        return _textual("error", lambda view: view.failure)(operator, value)
    fits = _pattern(value.alternatives(), literal=value.literal)
    return lambda subject: (
        fits(subject.view.failure, subject) or fits(subject.view.failure.partition(":")[0], subject)
    )


def _numeric(field: str, get: Callable[[JobView], int]) -> Callable[[str, Value], Test]:
    def make(operator: str, value: Value) -> Test:
        _only(operator, ": > < >= <=", field)
        if not re.fullmatch(r"-?[0-9]{1,15}", value.text, re.ASCII):
            raise ValueError(f"{field} takes a whole number")
        bound, compare = int(value.text), _COMPARISONS[operator]
        return lambda subject: compare(get(subject.view), bound)

    return make


def _age(operator: str, value: Value) -> Test:
    _only(operator, "> < >= <=", "age")
    try:
        bound = read_duration_ms(value.text)
    except ValueError as error:
        raise ValueError(f"age takes {error}") from error
    compare = _COMPARISONS[operator]
    return lambda subject: compare(subject.now_ms - subject.view.enqueued_at, bound)


def _suspect(operator: str, value: Value) -> Test:
    _only(operator, ":", "suspect")
    if value.text not in {"yes", "no"}:
        raise ValueError("suspect: takes yes or no")
    wanted = value.text == "yes"
    return lambda subject: subject.view.suspect is wanted


def _data_test(path: tuple[str, ...], operator: str, value: Value) -> Test:
    if not all(path):
        raise ValueError("data. takes a path such as data.ward or data.photos.0.url")
    if operator == ":":
        fits = _pattern((value.text,), literal=value.literal)
        return lambda subject: _equals(subject, subject.at_path(path), value, fits)
    if operator == "~":
        folded = value.text.casefold()
        return lambda subject: subject.contains(_plain(subject.at_path(path)) or "", folded)
    compare, number = _COMPARISONS[operator], as_number(value.text)

    def test(subject: Subject) -> bool:
        found = subject.at_path(path)
        if isinstance(found, str):
            return compare(found, value.text)
        if isinstance(found, bool) or not isinstance(found, int | float) or number is None:
            return False
        return compare(found, number)

    return test


def _equals(subject: Subject, found: object, value: Value, fits: Fits) -> bool:
    if isinstance(found, int | float) and not isinstance(found, bool):
        return not value.literal and as_number(value.text) == found
    text = _plain(found)
    return text is not None and fits(text, subject)


def _plain(found: object) -> str | None:
    if found is None:
        return "null"
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found) if isinstance(found, str | int | float) else None


def as_number(text: str) -> int | float | None:
    """Return the number that a value is, None if it is none."""
    if re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"-?[0-9]{1,19}(\.[0-9]{1,19})?([eE][+-]?[0-9]{1,3})?", text, re.ASCII):
        return float(text)
    return None


def _pattern(texts: tuple[str, ...], *, literal: bool) -> Fits:
    exact = frozenset(text for text in texts if literal or not has_globs(text))
    globs = [] if literal else [Glob(text) for text in texts if has_globs(text)]

    def fits(text: str, subject: Subject) -> bool:
        return text in exact or any(glob.matches(text, subject.spend) for glob in globs)

    return fits


_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ":": lambda left, right: left == right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
}
_attempt: Final = _numeric("attempts", lambda view: view.attempt)
_MAKERS: Final[Mapping[str, Callable[[str, Value], Test]]] = {
    "state": _state,
    "type": _type,
    "id": _textual("id", lambda view: view.id),
    "reason": _textual("reason", lambda view: view.reason),
    "by": _textual("by", lambda view: view.by),
    "validator": _validator,
    "detail": _textual("detail", lambda view: view.detail),
    "error": _failure,
    "worker": _textual("worker", lambda view: view.worker),
    "unique_key": _textual("unique_key", lambda view: view.unique_key or ""),
    "case": _textual("case", lambda view: view.case_id or ""),
    "cause": _textual("cause", lambda view: view.cause),
    "batch": _textual("batch", lambda view: view.batch or ""),
    "attempt": _attempt,
    "attempts": _attempt,
    "priority": _numeric("priority", lambda view: view.priority),
    "age": _age,
    "suspect": _suspect,
}
FIELDS: Final = (*_MAKERS, "data.PATH")
"""Every field of the language, for completion."""
EXAMPLES: Final[Mapping[str, tuple[str, str]]] = {
    "state": ("state:dead,rejected", "one of these states; state!=dead matches all others"),
    "type": ("type:pothole.*", "the type, with * and ?"),
    "id": ("id~5cbbc315", "part of the id (lists show its end); id: matches the whole id"),
    "reason": ("reason:timeout", "why it is rejected, held or dead"),
    "by": ("by:road-closure", "what decided it: a rule, a validator, an operator"),
    "validator": ("validator:duplicate", "rejected by this validator"),
    "detail": ("detail~'3.1 m away'", "the text beside the reason; put quotes around blanks"),
    "error": ("error~timeout", "class and message of the last failure"),
    "worker": ("worker:factory-1*", "the worker that runs it, or ran it last"),
    "unique_key": ("unique_key:ward-7", "its unique key"),
    "case": ("case:case-5b1e*", "the case that it created"),
    "cause": ("cause:0a1b2c3d4e5f", "its failure group (hms-svc jobs groups)"),
    "batch": ("batch:ward-7-reports", "the batch that it belongs to (hms-svc batches list)"),
    "attempts": ("attempts>3", "how often it was attempted; attempt is a synonym"),
    "priority": ("priority>=5", "its priority"),
    "age": ("age>1h", "time since it was enqueued, in ms s m h d w"),
    "suspect": ("suspect:yes", "its worker died while running it"),
    "data.PATH": ("data.ward:7", "a value of the payload; data.photos.0.url for nested ones"),
}
"""For each field an example and its meaning, for the help."""
