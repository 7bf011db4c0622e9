"""`Job` as a producer sees it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from hms_svc.domain.errors import MalformedJob
from hms_svc.domain.job import Job as Envelope
from hms_svc.domain.job import check_handed_in, make_job
from hms_svc.domain.timestamps import EPOCH, MILLISECOND
from hms_svc.facade import work
from hms_svc.facade.portal import block
from hms_svc.handling.context import find_job


class Job:
    """A job to be enqueued. It has its `id` from the start.

    `delay` (or `not_before`) postpones its first run, `expires_at` is when that
    is no longer worth it; both are datetimes with a zone, of the years 1970 to 9000.
    A higher `priority` (-1000 to 1000) runs first within its type; None is the one
    that the type declares. Raises MalformedJob or MalformedJson where a value is not
    what the contract allows. An id that begins with `hms:` is one of hms-svc's own: only the handler of such a job may give ids
    that go on from it, as `f"{job.id}.letter"`.
    """

    def __init__(
        self,
        type: str,
        data: Any,
        *,
        id: str | None = None,
        delay: timedelta | None = None,
        not_before: datetime | None = None,
        expires_at: datetime | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        unique_key: str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        now_ms = time.time_ns() // 1_000_000
        first = _unix_ms("not_before", not_before)
        if delay is not None:
            first = now_ms + _milliseconds(delay)
        self.envelope: Envelope = make_job(
            type,
            data,
            now_ms=now_ms,
            id=id,
            not_before=first,
            expires_at=_unix_ms("expires_at", expires_at),
            priority=priority,
            max_attempts=max_attempts,
            unique_key=unique_key,
            traceparent=traceparent,
            tracestate=tracestate,
            meta=meta,
        )
        running = find_job()
        check_handed_in(self.envelope, running.id if running is not None else "")
        self.id = self.envelope.id
        self.type = self.envelope.type
        self.data = data

    def enqueue(self) -> str:
        """Enqueue the job, and return its state once that is durable.

        That is "queued", "scheduled", or "rejected" where another job holds its unique key;
        of a job that is known already, the state that it has come to. Raises BrokerUnavailable, or IdConflict where the id belongs to another job.
        """
        [state] = block(lambda: work.enqueue([self.envelope]), "hms_svc.aio.Job.enqueue")
        return state

    @staticmethod
    def enqueue_all(jobs: Iterable[Job]) -> list[str]:
        """Enqueue many jobs, 5,000 in one commit, and return their states. The fastest way to enqueue."""
        envelopes = [job.envelope for job in jobs]
        return block(lambda: work.enqueue(envelopes), "hms_svc.aio.Job.enqueue_all")

    def __repr__(self) -> str:
        return f"Job(id={self.id!r}, type={self.type!r})"


def _unix_ms(name: str, moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise MalformedJob(f"{name} {moment!r:.80} is not a datetime", name)
    if moment.utcoffset() is None:
        raise MalformedJob(f"{name} {moment.isoformat()} has no time zone", name)
    return (moment - EPOCH) // MILLISECOND


def _milliseconds(delay: timedelta) -> int:
    if not isinstance(delay, timedelta):
        raise MalformedJob(f"delay {delay!r:.80} is not a timedelta", "not_before")
    return delay // MILLISECOND
