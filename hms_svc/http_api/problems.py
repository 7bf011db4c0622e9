"""Problem details (RFC 9457): every error in the same shape, with a URN of hms-svc as its type."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hms_svc.domain.errors import (
    BadInput,
    FieldFault,
    FilterTooCostly,
    HmsError,
    HoldChanged,
    IdConflict,
    JobFault,
    KeyReused,
    MalformedJob,
    MalformedJobs,
    NotAccepted,
    NotSigned,
    Outage,
    QueueFull,
    Refused,
    SchemaMismatch,
    UnknownId,
    ValidationFailed,
)
from hms_svc.domain.strict_json import encode

MEDIA_TYPE: Final = "application/problem+json"
OUTAGE_SECONDS: Final = 2
_STATUS: Final[tuple[tuple[type[HmsError], int], ...]] = (
    (NotSigned, 401),
    (UnknownId, 404),
    (IdConflict, 409),
    (KeyReused, 422),
    (FilterTooCostly, 422),
    (MalformedJob, 422),
    (MalformedJobs, 422),
    (BadInput, 400),
    (QueueFull, 429),
    (NotAccepted, 503),
    (HoldChanged, 412),
    (Refused, 409),
    (ValidationFailed, 409),
    (Outage, 503),
    (SchemaMismatch, 503),
)
"""The first match decides."""


class Problem(HTTPException):
    """An error that exists only in HTTP: `name` is the last part of its URN."""

    def __init__(
        self, status: int, name: str, detail: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, headers)
        self.name = name

    def response(self) -> Response:
        """Return the problem as the answer to the request that raised it."""
        return problem(self.status_code, self.name, self.detail, headers=dict(self.headers or {}))


class FieldFaultAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a field. `index` is the position of its job in an array, from 0."""

    index: int | UnsetType = UNSET
    field: str
    detail: str


class ProblemAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Problem details (RFC 9457). `errors` has an entry for each invalid field."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldFaultAnswer, ...] | UnsetType = UNSET


def problem(
    status: int,
    name: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    errors: Iterable[FieldFaultAnswer] | None = None,
) -> Response:
    """Return the answer of an error."""
    body = ProblemAnswer(
        type=f"urn:hms-svc:problem:{name}",
        title=name.replace("-", " "),
        status=status,
        detail=detail,
        errors=UNSET if errors is None else tuple(errors),
    )
    return Response(encode(body), status, headers, MEDIA_TYPE)


def status_of(error: HmsError) -> int:
    """Return the HTTP status of one of the program's errors."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_of(error: HmsError) -> Response:
    """Return the answer of one of the program's errors."""
    status = status_of(error)
    headers: dict[str, str] = {}
    errors: list[FieldFaultAnswer] | None = None
    if isinstance(error, NotAccepted):
        headers["retry-after"] = str(error.retry_after_seconds)
    elif status == 503:
        headers["retry-after"] = str(OUTAGE_SECONDS)
    if (isinstance(error, MalformedJob) and error.field) or isinstance(error, MalformedJobs):
        errors = [_fault(each) for each in error.faults]
    return problem(status, _name_of(error), str(error), headers=headers, errors=errors)


def _fault(fault: JobFault | FieldFault) -> FieldFaultAnswer:
    index = fault.place if isinstance(fault, JobFault) else UNSET
    return FieldFaultAnswer(index=index, field=fault.field, detail=fault.detail)


def _name_of(error: HmsError) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
