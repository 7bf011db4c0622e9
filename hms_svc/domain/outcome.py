"""How a run can end: what a handler may ask for, and what the runtime decides."""

from __future__ import annotations

import msgspec

from hms_svc.domain.lifecycle import Cause, State


class RetryLater(msgspec.Struct, frozen=True):
    """Returned by a handler: count this attempt as failed and try again after the delay."""

    after_seconds: float | None = None
    why: str = ""


class Snooze(msgspec.Struct, frozen=True):
    """Returned by a handler: run again after the delay, without counting this attempt."""

    for_seconds: float
    why: str = ""


class Cancel(msgspec.Struct, frozen=True):
    """Returned by a handler: call this job off."""

    why: str = ""


class DeadLetter(msgspec.Struct, frozen=True):
    """Returned by a handler: give this job up at once."""

    why: str = ""


class Failure(msgspec.Struct, frozen=True):
    """What went wrong in an attempt: the error's class, its message and its traceback."""

    kind: str
    message: str
    traceback: str = ""


class Disposition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What becomes of a claimed job: one value for every way that a run can end or go on.

    `due_at` (Unix ms) belongs to `retrying` and `scheduled`; `give_back` undoes
    the count of this attempt, `counted_give_back` adds to its bounded number.
    `hold` is (action, rule, payload digest) of a held job.
    """

    state: State
    cause: Cause
    reason: str = ""
    by: str = ""
    detail: str = ""
    result: bytes | None = None
    failure: Failure | None = None
    due_at: int | None = None
    give_back: bool = False
    counted_give_back: bool = False
    case_id: str | None = None
    hold: tuple[str, str, str] | None = None
    log: str = ""
