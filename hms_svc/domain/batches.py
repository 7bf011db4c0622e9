"""Batches: jobs that are submitted as one, and the jobs that are made when these have ended."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.ids import derived_id
from hms_svc.domain.job import MAX_DATA_BYTES, Job
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.domain.plain_text import plural
from hms_svc.domain.strict_json import encode_canonical

MOST_MEMBERS: Final = 100_000
MOST_FOLLOW_UPS: Final = 100
MOST_FOLLOW_UP_BYTES: Final = 8 * MAX_DATA_BYTES
"""Of their data together: the step that accepts a batch stores them all at once."""
LONG_OPEN_MS: Final = 86_400_000
"""After how long without a new member an open batch is taken for one that its producer has left: a day."""
DISCARDED: Final = "discarded"
"""In place of a state, in the counts of a batch."""
_UNFINISHED: Final = frozenset(state.value for state in State if state not in TERMINAL)


class When(StrEnum):
    """When a batch goes on to its next follow-up: when all of its jobs have ended, or only if all of them completed."""

    ENDED = "ended"
    COMPLETED = "completed"


class BatchState(StrEnum):
    """What a batch does: not all of its members are accepted; it runs; it has ended; it ended before all follow-ups."""

    OPEN = "open"
    RUNNING = "running"
    ENDED = "ended"
    STOPPED = "stopped"


class NewBatch(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A batch as it is submitted: its members, and its follow-ups, each of which is made after all before it.

    `by` is who submitted it. Members and follow-ups have the batch's id as their `batch`.
    """

    id: str
    members: tuple[Job, ...]
    follow_ups: tuple[Job, ...] = ()
    when: When = When.ENDED
    created_at: int = 0
    by: str = ""

    @cached_property
    def digest(self) -> str:
        """A digest of what was submitted, by which a repetition is recognized."""
        found = hashlib.sha256(self.when.encode())
        for job in (*self.members, None, *self.follow_ups):
            found.update(_identity(job) if job else b"\0")
        return found.hexdigest()

    def with_its_id(self) -> NewBatch:
        """Return it with its id in each of its jobs."""
        members, follow_ups = (
            tuple(msgspec.structs.replace(job, batch=self.id) for job in jobs)
            for jobs in (self.members, self.follow_ups)
        )
        return msgspec.structs.replace(self, members=members, follow_ups=follow_ups)

    @property
    def total(self) -> int:
        """The number of its jobs."""
        return len(self.members) + len(self.follow_ups)


class FollowUp(msgspec.Struct, frozen=True):
    """A follow-up of a batch: `is_made` once it is, or was, a job."""

    id: str
    type: str
    is_made: bool


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as operators see it. Times are Unix milliseconds.

    `counts` has how many of its jobs are, or were when they were removed, in each state, `DISCARDED` among
    them; `total` are its members and follow-ups, made or not. `closed_by` is the operator who closed it
    before all members were accepted, empty if none did; `left_out` members were not accepted then.
    """

    id: str
    when: When
    total: int
    counts: Mapping[str, int]
    follow_ups: tuple[FollowUp, ...]
    created_at: int
    by: str
    is_open: bool
    ended_at: int | None = None
    closed_by: str = ""
    left_out: int = 0

    @property
    def members(self) -> int:
        """The number of its jobs without those that follow; of an open batch, also of those to be accepted."""
        return self.total - len(self.follow_ups)

    @property
    def accepted_text(self) -> str:
        """Of an open batch: with how many of its members it would be closed."""
        return f"with {sum(self.counts.values()):,} of its {plural(self.members, 'member')}"

    @property
    def ended(self) -> int:
        """The number of its jobs that have ended."""
        return sum(n for state, n in self.counts.items() if state not in _UNFINISHED)

    @property
    def failed(self) -> int:
        """The number of its jobs that have ended in another way than completed."""
        return self.ended - self.counts.get(State.COMPLETED.value, 0)

    @property
    def next(self) -> FollowUp | None:
        """The follow-up that is made next, None if all are."""
        return next((each for each in self.follow_ups if not each.is_made), None)

    @property
    def state(self) -> BatchState:
        """What it does."""
        if self.is_open:
            return BatchState.OPEN
        if self.ended_at is None:
            return BatchState.RUNNING
        return BatchState.ENDED if self.next is None else BatchState.STOPPED


class BatchPage(msgspec.Struct, frozen=True):
    """One page of a list of batches; `cursor` continues it, None at the end."""

    batches: tuple[BatchView, ...]
    cursor: str | None


def member_id(batch_id: str, number: int) -> str:
    """Return the id of a member, by its place from 0, that was given none."""
    return derived_id("member", batch_id, str(number))


def then_id(batch_id: str, number: int) -> str:
    """Return the id of a follow-up, by its place from 0, that was given none."""
    return derived_id("then", batch_id, str(number))


def check_batch(members: Sequence[Job], follow_ups: Sequence[Job]) -> None:
    """Raise BadInput if a batch has too many jobs, none, two with one id, or too much data to follow."""
    for name, jobs, most in (
        ("members", members, MOST_MEMBERS),
        ("jobs to follow", follow_ups, MOST_FOLLOW_UPS),
    ):
        if len(jobs) > most:
            raise BadInput(f"a batch with {len(jobs):,} {name}: at most {most:,} are allowed")
    size = sum(len(job.data) for job in follow_ups)
    if size > MOST_FOLLOW_UP_BYTES:
        raise BadInput(
            f"the jobs to follow have {size:,} bytes of data together: at most "
            f"{MOST_FOLLOW_UP_BYTES:,} are allowed"
        )
    if not members and not follow_ups:
        raise BadInput("a batch without a job: expected members, or a job for then")
    seen: set[str] = set()
    for job in (*members, *follow_ups):
        if job.id in seen:
            raise BadInput(f"two jobs of one batch have the id {job.id!r}: expected different ids")
        seen.add(job.id)


def _identity(job: Job) -> bytes:
    return encode_canonical([job.id, job.type, job.payload()])
