"""`Job` for plain functions."""

from __future__ import annotations

from collections.abc import Iterable

from hms_svc.api.new_job import NewJob, all_jobs, enqueue, note_answers
from hms_svc.api.portal import block


class Job(NewJob):
    """A job to be enqueued. It has its `id` from the start.

    `delay` (or `not_before`) postpones its first run; after `expires_at` it is not
    started any more; both are datetimes with a zone, of the years 1970 to 9000.
    A higher `priority` (-1000 to 1000) runs first within its type; None means the one
    that the type declares. `version` is that of the payload's form (None: 1, or in a worker the declared
    one). Raises MalformedJob or MalformedJson if a value is
    invalid. An id that begins with `hms:` is reserved for hms-svc: only the handler of such a job may use ids
    that continue its own, such as `f"{job.id}.letter"`.
    """

    def enqueue(self) -> str:
        """Enqueue the job, and return its state once it is durable.

        The state is "queued", "scheduled", or "rejected" if another job holds its unique key, which
        `held_by` names then; for a job that is already known, its current state. Raises BrokerUnavailable, or IdConflict if the id belongs to another job.
        """
        answers = block(lambda: enqueue([self.envelope]), "hms_svc.aio.Job.enqueue")
        [state] = note_answers([self], answers)
        return state

    @staticmethod
    def enqueue_all(jobs: Iterable[NewJob]) -> list[str]:
        """Enqueue many jobs, 5,000 per commit, and return their states. The fastest way to enqueue.

        Raises BadInput, before anything is enqueued, if one of them is no job.
        """
        given = all_jobs("Job.enqueue_all", jobs)
        envelopes = [job.envelope for job in given]
        answers = block(lambda: enqueue(envelopes), "hms_svc.aio.Job.enqueue_all")
        return note_answers(given, answers)
