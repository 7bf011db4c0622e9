"""`Batch` and `chain`: jobs that are submitted as one, and what follows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from hms_svc.api.new_job import NewJob, all_of, submit_batch, submit_batch_here
from hms_svc.api.portal import block, now_ms
from hms_svc.domain.batches import NewBatch, When, check_batch, member_id, then_id
from hms_svc.domain.errors import BadInput
from hms_svc.domain.ids import check_job_id, is_reserved_id, new_job_id
from hms_svc.domain.job import Job
from hms_svc.sdk.running_job import find_job

if TYPE_CHECKING:
    from hms_svc.api.awaitable_batch_handle import BatchHandle as AwaitableBatchHandle
    from hms_svc.api.batch_handle import BatchHandle


class Batch:
    """Jobs to be submitted as one; when they have ended, the jobs in `then` follow, one after the other.

    What follows is made in the step that ends the last job before it, once. With `when="ended"` it is made
    in any case, with `when="completed"` only if all jobs of the batch have completed until then.

    Submitting a batch with an `id` again is safe: it continues where the first submission broke off. Without
    one a new id is made. Jobs without an id get one that is derived from the batch's, and keep it. Raises
    BadInput for more than 100,000 jobs, or 100 in `then`, and MalformedJob for an invalid id.
    """

    def __init__(
        self,
        jobs: Iterable[NewJob],
        *,
        then: NewJob | Sequence[NewJob] = (),
        when: Literal["ended", "completed"] = "ended",
        id: str | None = None,
    ) -> None:
        self.id = _id_of(id)
        members = all_of("Batch", "jobs", jobs)
        follow_ups = [then] if isinstance(then, NewJob) else all_of("Batch(then=…)", "jobs", then)
        try:
            condition = When(when)
        except ValueError:
            raise BadInput(f'when {when!r:.40} is neither "ended" nor "completed"') from None
        for number, job in enumerate(members):
            _join(job, member_id(self.id, number))
        for number, job in enumerate(follow_ups):
            _join(job, then_id(self.id, number))
        self._batch = NewBatch(
            id=self.id,
            members=_envelopes(members),
            follow_ups=_envelopes(follow_ups),
            when=condition,
            created_at=now_ms(),
        ).with_its_id()
        check_batch(self._batch.members, self._batch.follow_ups)

    def __repr__(self) -> str:
        return f"Batch(id={self.id!r}, jobs={len(self._batch.members)})"

    async def enqueue(self) -> AwaitableBatchHandle:
        """Submit the batch, and return its handle once all of it is durable.

        Up to 500 jobs of at most 4 MiB together are accepted all or none. More are accepted in several
        steps; until the last one nothing follows. Raises IdConflict if an id belongs to another job or another
        batch, BatchClosed if an operator has closed the batch before all were accepted, and
        BrokerUnavailable: submit it again with the same id then.
        """
        from hms_svc.api.awaitable_batch_handle import BatchHandle

        return BatchHandle(self.id, existed=await submit_batch_here(self._batch))

    def enqueue_blocking(self) -> BatchHandle:
        """Submit the batch as `enqueue` does, and block until it is durable."""
        from hms_svc.api.batch_handle import BatchHandle

        existed = block(lambda: submit_batch(self._batch), "hms_svc.Batch.enqueue")
        return BatchHandle(self.id, existed=existed)


def chain(*jobs: NewJob, id: str | None = None) -> Batch:
    """Return a batch of the first job, which the others follow, each if all before it have completed."""
    if not jobs:
        raise BadInput("a chain without a job: expected one or more")
    return Batch(jobs[:1], then=jobs[1:], when="completed", id=id)


def _id_of(given: str | None) -> str:
    if given is None:
        return new_job_id()
    running = find_job()
    if is_reserved_id(check_job_id(given, "batch id"), running.id if running is not None else ""):
        raise BadInput(
            f"batch id {given} begins with hms:, which is reserved: choose another id, or omit it"
        )
    return given


def _join(job: NewJob, job_id: str) -> None:
    """Set the id of a job of a batch, unless its producer did; raise BadInput for no job."""
    if not isinstance(job, NewJob):
        raise BadInput(f"a batch takes jobs, such as apply.job(payload), not {type(job).__name__}")
    if job.is_named:
        return
    job.id, job.is_named = job_id, True
    job.envelope = msgspec.structs.replace(job.envelope, id=job_id)


def _envelopes(jobs: Sequence[NewJob]) -> tuple[Job, ...]:
    return tuple(job.envelope for job in jobs)
