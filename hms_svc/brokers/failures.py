"""Failure groups for operators, made from what a broker stores of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from hms_svc.brokers.history import failure_text
from hms_svc.domain.causes import FailureCause, cause_of, other_causes
from hms_svc.domain.outcome import Disposition
from hms_svc.domain.views import RECENT_SLOT_MS, FailureGroup, JobView

SLOT_MS: Final = RECENT_SLOT_MS
SLOTS: Final = 12


class StoredGroup(msgspec.Struct, frozen=True):
    """What a broker stores of one group, in Unix ms; `recent` and `next_at` as in FailureGroup."""

    id: str
    count: int
    first_at: int
    last_at: int
    next_at: int | None
    newest: JobView
    recent: tuple[int, ...]


def cause_of_end(type: str, done: Disposition) -> FailureCause:
    """Return the cause of a disposition that leaves a job dead, rejected or retrying."""
    return cause_of(
        done.state,
        type,
        reason=done.reason,
        by=done.by,
        detail=done.detail,
        failure=failure_text(done.failure),
    )


def cause_of_view(view: JobView) -> FailureCause:
    """Return the cause of a dead, rejected or retrying job, by the current rules."""
    return cause_of(
        view.state,
        view.type,
        reason=view.reason,
        by=view.by,
        detail=view.detail,
        failure=view.failure,
    )


def groups_of(stored: Iterable[StoredGroup]) -> list[FailureGroup]:
    """Return the groups, the one of the newest job first."""
    return sorted(map(_group, stored), key=lambda group: (-group.last_at, group.id))


def slots_until(now_ms: int) -> range:
    """Return the numbers of the twelve five-minute slots up to the current one."""
    present = now_ms // SLOT_MS
    return range(present - SLOTS + 1, present + 1)


def _group(stored: StoredGroup) -> FailureGroup:
    newest = stored.newest
    others = other_causes(newest.state, newest.type)
    cause = others if stored.id == others.id else cause_of_view(newest)
    return FailureGroup(
        id=stored.id,
        state=newest.state,
        type=newest.type,
        reason=cause.reason,
        by=cause.by,
        error=cause.error,
        pattern=cause.pattern,
        count=stored.count,
        first_at=stored.first_at,
        last_at=stored.last_at,
        newest_detail=newest.detail or newest.failure,
        newest_id=newest.id,
        recent=stored.recent,
        next_at=stored.next_at,
    )
