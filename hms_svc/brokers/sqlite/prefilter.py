"""A prefilter as a condition of a statement. It holds for every row that the filter matches."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

from hms_svc.brokers.codes import LIMITED
from hms_svc.brokers.sqlite.statements import CONSTANTS
from hms_svc.domain.prefilter import (
    MOST_PARSED_BYTES,
    AllOf,
    AnyOf,
    Condition,
    DataCheck,
    FieldCheck,
    Numbers,
    Texts,
)

EVERY_ROW: Final = "TRUE"
_COLUMNS: Final = {
    "id": "jobs.id",
    "reason": "coalesce(jobs.reason, '')",
    "by": "coalesce(jobs.decided_by, '')",
    "detail": "coalesce(jobs.detail, '')",
    "failure": "coalesce(jobs.failure, '')",
    "worker": "coalesce(jobs.worker, '')",
    "unique_key": "coalesce(jobs.unique_key, '')",
    "case": "coalesce(jobs.case_id, '')",
    "cause": f"CASE WHEN jobs.state IN ({CONSTANTS['GROUPED']}) THEN coalesce(jobs.cause, '') ELSE '' END",
    "batch": "coalesce(jobs.member_of, '')",
    "attempt": "jobs.attempt",
    "priority": "jobs.priority",
    "enqueued_at": "jobs.enqueued_at",
    "suspect": f"(jobs.suspect % {LIMITED})",
}
_DATA: Final = "CAST(jobs.data AS TEXT)"
_UNDECIDED: Final = (
    f"length(jobs.data) > {MOST_PARSED_BYTES} OR instr(jobs.data, x'5c') OR NOT json_valid({_DATA})"
)
"""Payloads that are large, have escapes, which versions of SQLite compare differently, or are no JSON."""


class RowCondition:
    """The text of a condition on a row of `jobs`, and the values of its parameters.

    `data_checks` is how many of its checks parse the payload: each does so by itself.
    """

    def __init__(self, condition: Condition | None) -> None:
        self.values: dict[str, Any] = {}
        self.data_checks = 0
        self.text = EVERY_ROW if condition is None else self._of(condition)

    def _of(self, condition: Condition) -> str:
        if isinstance(condition, AllOf | AnyOf):
            word = " AND " if isinstance(condition, AllOf) else " OR "
            return f"({word.join(map(self._of, condition.parts))})"
        if isinstance(condition, DataCheck):
            return self._of_data(condition)
        return self._of_field(condition)

    def _of_field(self, check: FieldCheck) -> str:
        column = _COLUMNS[check.field]
        if isinstance(check.fits, Numbers):
            return self._numbers(column, check.fits)
        return self._texts(column, check.fits)

    def _of_data(self, check: DataCheck) -> str:
        self.data_checks += 1
        paths = [self._parameter(path) for path in _paths(check.path)]
        kind, value = (
            _first_known([f"{function}({_DATA}, {path})" for path in paths])
            for function in ("json_type", "json_extract")
        )
        texts, numbers = check.texts, check.numbers
        text = self._texts(value, texts) if isinstance(texts, Texts) else str(int(texts))
        number = (
            self._numbers(value, numbers) if isinstance(numbers, Numbers) else str(int(numbers))
        )
        constants = "".join(
            f" WHEN '{name}' THEN {int(name in check.constants)}"
            for name in ("true", "false", "null")
        )
        return (
            f"CASE WHEN {_UNDECIDED} THEN 1 ELSE CASE {kind} WHEN 'text' THEN {text}"
            f" WHEN 'integer' THEN {number} WHEN 'real' THEN {number}{constants}"
            f" ELSE {int('missing' in check.constants)} END END"
        )

    def _numbers(self, value: str, numbers: Numbers) -> str:
        low, high = self._parameter(numbers.low), self._parameter(numbers.high)
        return f"({value} {'NOT ' * numbers.negated}BETWEEN {low} AND {high})"

    def _texts(self, value: str, texts: Texts) -> str:
        negation = "NOT " * texts.negated
        if texts.test == "folded":
            found = f"instr(lower({value}), {self._parameter(texts.values[0])})"
            # Lower case beyond ASCII, and letters beyond it that fold to ASCII, are Python's.
            undecided = f"length({value}) <> length(CAST({value} AS BLOB))"
            return f"(NOT {found})" if texts.negated else f"({found} OR {undecided})"
        given = [self._parameter(text) for text in texts.values]
        found = {
            "in": f"{value} IN ({', '.join(given)})",
            "prefix": f"substr({value}, 1, {len(texts.values[0])}) = {given[0]}",
            "has": f"instr({value}, {given[0]})",
            "below": f"{value} < {given[0]}",
            "above": f"{value} > {given[0]}",
        }[texts.test]
        return f"({negation}({found}))"

    def _parameter(self, value: object) -> str:
        name = f"given{len(self.values)}"
        self.values[name] = value
        return f":{name}"


def _first_known(expressions: list[str]) -> str:
    return f"coalesce({', '.join(expressions)})" if len(expressions) > 1 else expressions[0]


def _paths(steps: tuple[str, ...]) -> list[str]:
    """Return the paths in SQLite's form: a number may be a key, or an index of an array."""
    ways = [
        (f'."{step}"', f"[{int(step)}]") if step.isdecimal() and len(step) < 10 else (f'."{step}"',)
        for step in steps
    ]
    return ["$" + "".join(way) for way in product(*ways)]
