"""Strict parsing of job documents: one object, an array, or one object per line.

All faults of all documents are collected, each with document, line and field,
so that nothing is sent before everything has been validated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput, MalformedJob
from hms_svc.domain.job import Job, read_job
from hms_svc.domain.job_fields import NAMES
from hms_svc.domain.strict_json import JsonValue, check_strict, read_strict

MOST_FAULTS: Final = 20
ENVELOPE_FIELDS: Final = frozenset(NAMES) - {"enqueued_at", "retried_from"}
"""The fields of a job that `--set` sets in the job itself; all other paths are in its data."""
_NUMBER_PLACE: Final = "{n}"
_LINE: Final = re.compile(r" at line ([0-9]+) column ([0-9]+)")


class Assignment(msgspec.Struct, frozen=True):
    """One `path=value`: the path as its steps from the job down."""

    path: tuple[str, ...]
    value: JsonValue


class Draft(msgspec.Struct, frozen=True):
    """One parsed job, and its source: a document, its first line, an index in an array."""

    name: str
    value: dict[str, JsonValue]
    line: int = 1
    item: int = 0
    raw: bytes = b""

    def place(self, field: str = "") -> str:
        """Return the place for a message: the line of the field if it is unambiguous."""
        key = b'"%s"' % field.rpartition(".")[2].encode(errors="replace")
        line = self.line
        if field and self.raw.count(key) == 1:
            line += self.raw[: self.raw.index(key)].count(b"\n")
        item = f", item {self.item}" if self.item else ""
        return f"{self.name}:{line}{item}" if self.raw else self.name


class SubmissionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the options of a submission add to each of its jobs; `not_before` is Unix milliseconds."""

    type: str | None = None
    assignments: tuple[Assignment, ...] = ()
    not_before: int | None = None
    count: int = 1


class Faults:
    """Collects faults, up to a number that a person would read."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.more = 0

    def add(self, place: str, error: BadInput) -> None:
        """Add a fault."""
        if not self._leaves_out():
            self.messages.append(f"{place}: {error}" if place else str(error))

    def add_to(self, draft: Draft, field: str, error: BadInput) -> None:
        """Add a fault of a draft. The place of its field is only determined if the fault is shown."""
        if not self._leaves_out():
            self.messages.append(f"{draft.place(field)}: {error}")

    def add_each(self, draft: Draft, error: MalformedJob) -> None:
        """Add each faulty field of a draft."""
        for fault in error.faults:
            self.add_to(draft, fault.field, BadInput(fault.detail))

    def _leaves_out(self) -> bool:
        """Count a fault that is no longer shown; False if it is to be shown."""
        if len(self.messages) < MOST_FAULTS:
            return False
        self.more += 1
        return True

    def check(self) -> None:
        """Raise BadInput with all faults, if there are any."""
        if self.messages:
            tail = [f"… and {self.more} more"] if self.more else []
            raise BadInput("\n".join([*self.messages, *tail, "nothing was enqueued"]))


def read_assignments(texts: Iterable[str], *, inside_data: bool = False) -> tuple[Assignment, ...]:
    """Parse each `path=value`; raises BadInput for a path that occurs twice."""
    found: dict[tuple[str, ...], Assignment] = {}
    for text in texts:
        assignment = read_assignment(text, inside_data=inside_data)
        if assignment.path in found:
            raise BadInput(f"--set {text!r:.80} sets {'.'.join(assignment.path)} again")
        found[assignment.path] = assignment
    return tuple(found.values())


def read_assignment(text: str, *, inside_data: bool = False) -> Assignment:
    """Parse `path=value`: the value is JSON if it parses, else text.

    A path begins with a field of the job (`priority`, `data.lat`); any other,
    or every one with `inside_data`, is taken to be inside `data`.
    """
    left, equals, right = text.partition("=")
    path = tuple(left.split("."))
    if not equals or not all(path):
        raise BadInput(f"--set {text!r:.80} is not path=value, such as data.lat=37.76")
    try:
        value = read_strict(right.encode(errors="surrogatepass"))
    except BadInput:
        value = right
        check_strict(value)
    of_job = path[0] == "data" if inside_data else path[0] in ENVELOPE_FIELDS
    return Assignment(path if of_job else ("data", *path), value)


def apply_to_data(data: JsonValue, assignments: Iterable[Assignment]) -> JsonValue:
    """Return a payload with assignments made in it."""
    holder: dict[str, JsonValue] = {"data": data}
    for assignment in assignments:
        _assign(holder, assignment.path, assignment.value)
    return holder["data"]


def read_document(name: str, raw: bytes, faults: Faults) -> list[Draft]:
    """Parse one document into drafts; its faults are added to `faults`."""
    lines = _lines(raw)
    if len(lines) > 1 and _is_complete(lines[0][1]):
        drafts = []
        for number, line in lines:
            drafts += _read_part(name, line, number, faults)
        return drafts
    return _read_part(name, raw, 1, faults)


def make_jobs(draft: Draft, options: SubmissionOptions, now_ms: int) -> Iterator[Job]:
    """Return `count` jobs made from a draft; raises MalformedJob.

    `{n}` in an assigned text is the number of the copy, from 1.
    """
    if options.count > 1 and "id" in draft.value:
        raise MalformedJob("--count makes copies, which cannot share an id: remove the id", "id")
    for number in range(1, options.count + 1):
        value = dict(draft.value)
        for assignment in options.assignments:
            _assign(value, assignment.path, _numbered(assignment.value, number))
        if options.type is not None and value.setdefault("type", options.type) != options.type:
            raise MalformedJob(
                f"type is {value['type']!r:.80}, but --type is {options.type}", "type"
            )
        job = read_job(value, now_ms=now_ms)
        if options.not_before is not None:
            job = msgspec.structs.replace(job, not_before=options.not_before)
        yield job


def _read_part(name: str, raw: bytes, line: int, faults: Faults) -> list[Draft]:
    try:
        value = read_strict(raw)
    except BadInput as error:
        _blame_line(name, raw, line, error, faults)
        return []
    body = raw.lstrip()
    line += raw[: len(raw) - len(body)].count(b"\n")
    if not isinstance(value, list):
        return _drafts(name, [(0, value)], body, line, faults)
    if not value:
        faults.add(f"{name}:{line}", MalformedJob("the array has no jobs"))
    return _drafts(name, list(enumerate(value, 1)), body, line, faults)


def _blame_line(name: str, raw: bytes, line: int, error: BadInput, faults: Faults) -> None:
    found = _LINE.search(str(error))
    if found is not None:
        line += int(found[1]) - 1
        message = _LINE.sub(r" at column \2", str(error))
        faults.add(f"{name}:{line}", BadInput(message))
    elif raw.strip().count(b"\n"):
        faults.add(name, error)
    else:
        faults.add(f"{name}:{line}", error)


def _drafts(
    name: str, items: list[tuple[int, JsonValue]], raw: bytes, line: int, faults: Faults
) -> list[Draft]:
    drafts = []
    for item, value in items:
        draft = Draft(name, value if isinstance(value, dict) else {}, line, item, raw)
        if isinstance(value, dict):
            drafts.append(draft)
            continue
        try:
            read_job(value, now_ms=0)
        except MalformedJob as error:
            faults.add_to(draft, "", error)
    return drafts


def _lines(raw: bytes) -> list[tuple[int, bytes]]:
    lines = raw.split(b"\n")
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _is_complete(line: bytes) -> bool:
    try:
        json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return False
    except (ValueError, RecursionError):
        return True  # faulty, but complete: the fault is on this line
    return True


def _numbered(value: JsonValue, number: int) -> JsonValue:
    if isinstance(value, str) and _NUMBER_PLACE in value:
        return value.replace(_NUMBER_PLACE, str(number))
    return value


def _assign(target: dict[str, JsonValue], path: tuple[str, ...], value: JsonValue) -> None:
    here: JsonValue = target
    for depth, step in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(here, dict):
            nested = value if last else _opened(here.get(step))
            here[step] = nested
        elif isinstance(here, list) and step.isdecimal() and int(step) < len(here):
            nested = value if last else _opened(here[int(step)])
            here[int(step)] = nested
        else:
            raise MalformedJob(f"--set {'.'.join(path)}: there is no {step!r} to set", path[0])
        here = nested


def _opened(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list):
        return list(value)
    return {} if value is None else value
