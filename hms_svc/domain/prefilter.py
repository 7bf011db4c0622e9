"""Cheap conditions that every match of a filter meets, for a broker to check where the records are.

A condition may hold for a job that the filter does not match, never the other way round: what it
lets through is judged by the filter itself. So a broker that cannot decide lets the job through.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from hms_svc.domain.filter_parser import Node, Not, Or, Term, Text
from hms_svc.domain.filter_terms import Subject, Value, as_number, read_duration_ms
from hms_svc.domain.globs import CHARACTERS, has_globs
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobView

MOST_CHECKS: Final = 16
"""Checks of one prefilter: with more there is none, so that its work on one record stays small."""
MOST_PARSED_BYTES: Final = 16 * 1024
"""The size of a payload, or of an outcome, up to which a broker parses it for a check."""
_UNBOUNDED: Final = 2**62
_TOLERANCE: Final = 1e-9
"""Relative: parsers of the brokers may round a number differently than Python."""
_TINY: Final = 1e-300
_OF_NUMBERS: Final = frozenset("0123456789.+-einfa")
"""The characters of a number as text."""
_MOST_INDEXES: Final = 2
"""Steps of a path that may be an index of an array: each doubles the paths that SQLite tries."""

TextTest = Literal["in", "prefix", "has", "folded", "below", "above"]
"""One of the texts; begins with the text; contains it; contains it without case; before or after it by code points.

For a text with characters beyond ASCII `folded` cannot decide, also if it is to be `negated`.
"""
Constant = Literal["true", "false", "null", "missing"]


class Texts(msgspec.Struct, frozen=True, tag=True):
    """Which texts fit: those that pass the test, or with `negated` all others."""

    test: TextTest
    values: tuple[str, ...]
    negated: bool = False


class Numbers(msgspec.Struct, frozen=True, tag=True):
    """Which numbers fit: those from `low` to `high`, or with `negated` all others."""

    low: float
    high: float
    negated: bool = False


class FieldCheck(msgspec.Struct, frozen=True, tag=True):
    """A field of the job, by its name in the filter language (`failure` for `error`, `enqueued_at` for `age`), fits."""

    field: str
    fits: Texts | Numbers


class DataCheck(msgspec.Struct, frozen=True, tag=True):
    """What the payload has at a path fits. Arrays and objects count as `missing`.

    `texts` and `numbers` are True if any fits, False if none does.
    """

    path: tuple[str, ...]
    texts: Texts | bool
    numbers: Numbers | bool
    constants: tuple[Constant, ...]


class AllOf(msgspec.Struct, frozen=True, tag=True):
    """All of the parts hold."""

    parts: tuple[Condition, ...]


class AnyOf(msgspec.Struct, frozen=True, tag=True):
    """One of the parts holds."""

    parts: tuple[Condition, ...]


Condition: TypeAlias = FieldCheck | DataCheck | AllOf | AnyOf


def prefilter_of(root: Node, now_ms: int) -> Condition | None:
    """Return a condition that every match meets at this time (Unix ms), None if there is no cheap one."""
    found = _condition(root, now_ms, negated=False)
    return None if found is None or sum(1 for _ in checks_of(found)) > MOST_CHECKS else found


def checks_of(condition: Condition) -> Iterator[FieldCheck | DataCheck]:
    """Yield the checks of a condition."""
    if isinstance(condition, FieldCheck | DataCheck):
        yield condition
    else:
        for part in condition.parts:
            yield from checks_of(part)


def _condition(node: Node, now_ms: int, *, negated: bool) -> Condition | None:
    if isinstance(node, Not):
        return _condition(node.part, now_ms, negated=not negated)
    if isinstance(node, Text):
        return _any_of([_contains(field, node.value, negated) for field in _SEARCHED], negated)
    if isinstance(node, Term):
        return _of_term(node, now_ms, negated)
    parts = [_condition(part, now_ms, negated=negated) for part in node.parts]
    return _any_of(parts, negated is isinstance(node, Or))


def _any_of(parts: list[Condition | None], negated: bool) -> Condition | None:
    """Return that one of the parts holds, or if it is negated, whose parts are so already, that all do."""
    known = tuple(part for part in parts if part is not None)
    if not known or (not negated and len(known) < len(parts)):
        return None
    if len(known) == 1:
        return known[0]
    return AllOf(known) if negated else AnyOf(known)


def _of_term(term: Term, now_ms: int, negated: bool) -> Condition | None:
    if not _is_storable(term.text):
        return None
    if term.field.startswith("data."):
        return _data_check(term, negated)
    if term.field in _NUMBERS:
        return FieldCheck(_NUMBERS[term.field], _number_range(term, now_ms, negated))
    field = _TEXTS.get(term.field)
    if field is None or (term.field == "validator" and negated):
        return None
    if term.operator == "~":
        return _contains(field, term.value, negated)
    texts = [_texts_of(text, literal=term.value.literal) for text in term.value.alternatives()]
    if field == "failure":
        texts += [Texts("prefix", (f"{text}:",)) for text in _classes_of(term.value)]
    return _any_of([_field_check(field, each, negated) for each in texts], negated)


def _classes_of(value: Value) -> list[str]:
    """Return the classes that a term with `error:` names, without those that a pattern may name."""
    texts = [text for text in value.alternatives() if value.literal or not has_globs(text)]
    return [text for text in texts if ":" not in text]


def _is_storable(text: str) -> bool:
    """Return whether an engine can be given the text: SQLite ends some at a NUL."""
    return "\0" not in text


def _field_check(field: str, texts: Texts | None, negated: bool) -> Condition | None:
    if texts is None or (negated and texts.test == "has"):
        return None
    return FieldCheck(field, msgspec.structs.replace(texts, negated=negated))


def _contains(field: str, value: Value, negated: bool) -> Condition | None:
    texts = _folded(value.text, negated)
    return FieldCheck(field, texts) if isinstance(texts, Texts) else None


def _folded(text: str, negated: bool) -> Texts | bool:
    """Return the texts that contain one without case; True if that cannot be checked."""
    word = text.casefold()
    if not word or not _is_storable(word) or (negated and not word.isascii()):
        return True
    return Texts("folded", (word,), negated)


def _texts_of(text: str, *, literal: bool) -> Texts | None:
    """Return the texts that equal a text, or may match a pattern; None if that may be any."""
    if literal or not has_globs(text):
        return Texts("in", (text,))
    first, *rest = text.split("*")
    if rest == [""] and first and not has_globs(first):
        return Texts("prefix", (first,))
    for character in CHARACTERS:
        text = text.replace(character, "*")
    longest = max(text.split("*"), key=len)
    return Texts("has", (longest,)) if longest else None


def _number_range(term: Term, now_ms: int, negated: bool) -> Numbers:
    """Return the whole numbers that fit, exactly."""
    operator, text = term.operator, term.value.text
    if term.field == "suspect":
        bound = int(text == "yes")
    elif term.field == "age":
        operator, bound = _FLIPPED[operator], now_ms - read_duration_ms(text)
    else:
        bound = int(text)
    low = {":": bound, ">=": bound, ">": bound + 1}.get(operator, -_UNBOUNDED)
    high = {":": bound, "<=": bound, "<": bound - 1}.get(operator, _UNBOUNDED)
    return Numbers(low, high, negated)


def _data_check(term: Term, negated: bool) -> Condition | None:
    path = tuple(term.field.split(".")[1:])
    indexes = [step for step in path if step.isdecimal()]
    if len(indexes) > _MOST_INDEXES or not all(map(str.isascii, indexes)):
        return None
    constants = [name for name, value in _CONSTANTS.items() if _fits(term, path, value) != negated]
    found = DataCheck(
        path, _data_texts(term, negated), _data_numbers(term, negated), tuple(constants)
    )
    is_all = found.texts is True and found.numbers is True and len(constants) == len(_CONSTANTS)
    return None if is_all else found


def _fits(term: Term, path: tuple[str, ...], value: object) -> bool:
    """Return whether a payload that has a value at the path fits."""
    data: object = value
    for step in reversed(path):
        data = {step: data}
    view = JobView(
        id="",
        type="",
        state=State.QUEUED,
        attempt=0,
        enqueued_at=0,
        reason="",
        by="",
        detail="",
        data=msgspec.json.encode(data),
    )
    return term.test(Subject(view, 0))


def _data_texts(term: Term, negated: bool) -> Texts | bool:
    value = term.value
    if term.operator == "~":
        return _folded(value.text, negated)
    if term.operator == ":":
        texts = _texts_of(value.text, literal=value.literal)
        if texts is None or (negated and texts.test == "has"):
            return True
        return msgspec.structs.replace(texts, negated=negated)
    is_below = term.operator in {"<", ">="}
    reversed_ = term.operator in {">=", "<="}
    return Texts("below" if is_below else "above", (value.text,), reversed_ is not negated)


def _data_numbers(term: Term, negated: bool) -> Numbers | bool:
    value = term.value
    if term.operator == "~":
        may_contain = set(value.text.casefold()) <= _OF_NUMBERS
        return may_contain or negated
    bound = _bound(term)
    if bound is None:
        return negated
    if not math.isfinite(bound):
        return True
    margin = max(abs(bound) * _TOLERANCE, _TINY) * (-1 if negated else 1)
    low = bound - margin if term.operator in {":", ">", ">="} else -math.inf
    high = bound + margin if term.operator in {":", "<", "<="} else math.inf
    return Numbers(low, high, negated)


def _bound(term: Term) -> float | None:
    """Return the number that numbers are compared with, None if none of them fits."""
    number = as_number(term.value.text)
    if number is None or (term.operator == ":" and term.value.literal):
        return None
    return float(number)


_CONSTANTS: Final[dict[Constant, object]] = {
    "true": True,
    "false": False,
    "null": None,
    "missing": {},
}
_SEARCHED: Final = ("id", "detail", "failure")
_FLIPPED: Final = {">": "<", "<": ">", ">=": "<=", "<=": ">="}
_NUMBERS: Final = {
    "attempt": "attempt",
    "attempts": "attempt",
    "priority": "priority",
    "age": "enqueued_at",
    "suspect": "suspect",
}
_TEXTS: Final = {
    "id": "id",
    "reason": "reason",
    "by": "by",
    "validator": "reason",
    "detail": "detail",
    "error": "failure",
    "worker": "worker",
    "unique_key": "unique_key",
    "case": "case",
    "cause": "cause",
    "batch": "batch",
}
"""The fields whose texts the brokers check; states and types are chosen by index."""
