"""`Job` for plain functions."""

from __future__ import annotations

from collections.abc import Iterable

from hms_svc.api.new_job import NewJob, enqueue
from hms_svc.api.portal import block


class Job(NewJob):
    """A job to be enqueued. It has its `id` from the start.

    `delay` (or `not_before`) postpones its first run, `expires_at` is when that
    is no longer worth it; both are datetimes with a zone, of the years 1970 to 9000.
    A higher `priority` (-1000 to 1000) runs first within its type; None is the one
    that the type declares. Raises MalformedJob or MalformedJson where a value is not
    what the contract allows. An id that begins with `hms:` is one of hms-svc's own: only the handler of such a job may give ids
    that go on from it, as `f"{job.id}.letter"`.
    """

    def enqueue(self) -> str:
        """Enqueue the job, and return its state once that is durable.

        That is "queued", "scheduled", or "rejected" where another job holds its unique key;
        of a job that is known already, the state that it has come to. Raises BrokerUnavailable, or IdConflict where the id belongs to another job.
        """
        [state] = block(lambda: enqueue([self.envelope]), "hms_svc.aio.Job.enqueue")
        return state

    @staticmethod
    def enqueue_all(jobs: Iterable[NewJob]) -> list[str]:
        """Enqueue many jobs, 5,000 in one commit, and return their states. The fastest way to enqueue."""
        envelopes = [job.envelope for job in jobs]
        return block(lambda: enqueue(envelopes), "hms_svc.aio.Job.enqueue_all")
