"""What the effects of a job have in common: when a job may write, its follow-up jobs, its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from hms_svc.domain.errors import LeaseLost, NoActiveJob, TransactionError
from hms_svc.domain.event import Event, check_draft, service_event
from hms_svc.domain.ids import follow_up_id
from hms_svc.domain.job import Job, check_submitted
from hms_svc.domain.strict_json import check_strict
from hms_svc.sdk.attempt import Attempt

_ANY_ID: Final = "a-follow-up"
"""Stands for an id that is allowed, while the rest of a job is checked."""
_in_transaction: Final[ContextVar[bool]] = ContextVar("hms_svc_in_transaction", default=False)


@contextmanager
def in_transaction() -> Iterator[None]:
    """While the block runs, reject other writes of this context: they would wait for the transaction."""
    token = _in_transaction.set(True)
    try:
        yield
    finally:
        _in_transaction.reset(token)


def refuse_in_transaction(name: str) -> None:
    """Raise TransactionError for a call of this name in the function of a transaction."""
    if _in_transaction.get():
        raise TransactionError(
            f"{name} was called in the function of a transaction, and would wait for its end: "
            "call it before or after the transaction"
        )


def may_write(job: Attempt) -> None:
    """Raise what forbids this job to write: its validation, a verdict, the loss of its lease."""
    if job.validating:
        raise NoActiveJob(
            f"job {job.id} is being validated: only its handler can write, after all "
            "validators have passed"
        )
    if job.verdict is not None:
        raise job.verdict
    for error in job.unanswered.values():
        raise error
    if job.revoked:
        raise LeaseLost(
            f"job {job.id} no longer belongs to this worker: it timed out or lost its lease"
        )


def check_follow_up(follow_up: Job, job: Attempt | None) -> None:
    """Check a follow-up against the rules of every edge; the id that it has by convention is allowed."""
    running = "" if job is None else job.id
    if follow_up.id == follow_up_id(running, follow_up.type):
        follow_up = msgspec.structs.replace(follow_up, id=_ANY_ID)
    check_submitted(follow_up, running)


def further_events(
    job: Attempt | None, job_id: str, events: Sequence[Mapping[str, Any]], now: int
) -> list[Event]:
    """Return the events of drafts, each `{"type", "data"}` and optionally `"key"`."""
    made = []
    for ordinal, draft in enumerate(events):
        check_strict(draft.get("data"))
        check_draft(draft, ordinal)
        own_key = draft.get("key")
        if own_key is None:
            own_key = str(job.event_ordinal if job else ordinal)
            if job is not None:
                job.event_ordinal += 1
        trace = job.claimed.job.traceparent if job else None
        made.append(service_event(job_id, draft["type"], own_key, draft.get("data"), now, trace))
    return made


def lease_lost(job_id: str) -> LeaseLost:
    """Return the error for a write that was refused because of its fence or its lease."""
    return LeaseLost(f"job {job_id} now belongs to another worker: nothing was written")
