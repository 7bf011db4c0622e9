"""Answers about batches."""

from __future__ import annotations

from typing import Self

import msgspec
from msgspec import UNSET, UnsetType

from hms_svc.domain.batches import BatchPage, BatchState, BatchView, FollowUp, When
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.operations.answers.times import Time, time_or_none
from hms_svc.ports.control import ClosedBatch


class FollowUpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A job that follows the jobs of a batch. `made` is false while it does not exist."""

    id: str
    type: str
    made: bool

    @classmethod
    def of(cls, follow_up: FollowUp) -> Self:
        """Return the answer for a job that follows."""
        return cls(id=follow_up.id, type=follow_up.type, made=follow_up.is_made)


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A batch. `ended` of its `total` jobs have ended; `states` has how many are in each state.

    Jobs that follow are among them. `when` is `ended` if they follow in any case, `completed` if all
    jobs before them must have completed. It is `open` while not all jobs are accepted, and `stopped` if it has
    ended before a job that was to follow. The operator `closed_by` may have closed it before `left_out` of its
    jobs were accepted.
    """

    id: str
    state: BatchState
    when: When
    ended: int
    total: int
    states: dict[str, int]
    then: tuple[FollowUpAnswer, ...]
    created_at: Time
    ended_at: Time | None
    by: str
    closed_by: str | UnsetType = UNSET
    left_out: int | UnsetType = UNSET

    @classmethod
    def of(cls, view: BatchView) -> Self:
        """Return the answer for a batch."""
        return cls(
            id=view.id,
            state=view.state,
            when=view.when,
            ended=view.ended,
            total=view.total,
            states=dict(view.counts),
            then=tuple(map(FollowUpAnswer.of, view.follow_ups)),
            created_at=to_rfc3339(view.created_at),
            ended_at=time_or_none(view.ended_at),
            by=view.by,
            closed_by=view.closed_by or UNSET,
            left_out=view.left_out or UNSET,
        )


class BatchClosedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that was closed with the `accepted` members that it has; `left_out` were not accepted."""

    id: str
    accepted: int
    left_out: int

    @classmethod
    def of(cls, batch_id: str, closed: ClosedBatch) -> Self:
        """Return the answer for a closed batch."""
        return cls(id=batch_id, accepted=closed.accepted, left_out=closed.left_out)


class BatchPageAnswer(msgspec.Struct, frozen=True):
    """A page of batches. `cursor` gets the next page; it is null on the last one."""

    batches: tuple[BatchAnswer, ...]
    cursor: str | None

    @classmethod
    def of(cls, page: BatchPage) -> Self:
        """Return the answer for a page."""
        return cls(tuple(map(BatchAnswer.of, page.batches)), page.cursor)
