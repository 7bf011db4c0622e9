"""Answers about actions on jobs: what an action would do, and what it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Self

import msgspec
from msgspec import UNSET, UnsetType

from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import ActOutcome

if TYPE_CHECKING:
    from hms_svc.operations.bulk import BatchReport
    from hms_svc.operations.dry_run import Check, CheckVerdict
    from hms_svc.operations.plan import Choice, PlanGroup


MOST_FAILURES: Final = 100
"""Jobs that an answer lists by id of those that were not changed; it counts all."""


class FailedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that an action did not change, and why."""

    id: str
    why: str


def failed_jobs(outcomes: Sequence[ActOutcome]) -> tuple[FailedJob, ...]:
    """Return the first hundred jobs that were not changed."""
    return tuple(FailedJob(id=each.job_id, why=each.why) for each in outcomes[:MOST_FAILURES])


class PlannedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of the same kind that an action would change. `cause` is empty unless they have failed."""

    type: str
    state: State
    reason: str
    rule: str
    cause: str
    count: int

    @classmethod
    def of(cls, group: PlanGroup) -> Self:
        """Return the answer for a group of jobs."""
        return cls(
            type=group.type,
            state=group.state,
            reason=group.reason,
            rule=group.rule,
            cause=group.cause,
            count=group.count,
        )


class PlanAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an action would do. Nothing has been changed.

    `jobs` would be changed. `failed` counts the jobs whose state does not allow the action; `failures`
    lists the first hundred of them. `seen` identifies the jobs and their holds; send it to approve or
    deny exactly these.
    """

    act: str
    dry_run: bool
    jobs: int
    groups: tuple[PlannedGroup, ...]
    failed: int
    failures: tuple[FailedJob, ...]
    seen: str

    @classmethod
    def of(cls, act: str, chosen: Choice, *, seen: str = "") -> Self:
        """Return the answer for a choice of jobs."""
        return cls(
            act=act,
            dry_run=True,
            jobs=len(chosen.job_ids),
            groups=tuple(map(PlannedGroup.of, chosen.groups)),
            failed=len(chosen.cannot),
            failures=failed_jobs(chosen.cannot),
            seen=seen,
        )


class CheckAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One check of a dry run: its verdict, the reason, and its output."""

    name: str
    verdict: CheckVerdict
    message: str
    output: str

    @classmethod
    def of(cls, check: Check) -> Self:
        """Return the answer for a check."""
        return cls(
            name=check.name, verdict=check.verdict, message=check.message, output=check.printed
        )


class Edited(msgspec.Struct, frozen=True, kw_only=True):
    """The new job that replaces another; for a dry run the job that would be enqueued, its checks and the changes."""

    id: str
    type: str
    state: str
    retried_from: str
    checks: tuple[CheckAnswer, ...] | UnsetType = UNSET
    diff: tuple[str, ...] | UnsetType = UNSET


class OutcomeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an action did. `batch` is the id with which it can be undone.

    `done` counts the jobs that were changed, `failed` those that were not; `failures` lists the first hundred
    of the latter. `left` counts the jobs that were not tried because the action was interrupted.
    """

    act: str
    batch: str
    done: int
    failed: int
    failures: tuple[FailedJob, ...]
    left: int

    @classmethod
    def of(cls, act: str, report: BatchReport) -> Self:
        """Return the answer for a report."""
        return cls(
            act=act,
            batch=report.batch,
            done=report.done,
            failed=len(report.failed),
            failures=failed_jobs(report.failed),
            left=report.left,
        )
