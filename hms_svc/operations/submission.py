"""From drafts to accepted jobs: everything is validated first, then sent in large batches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from hms_svc.domain.errors import BadInput, IdConflict, MalformedJob
from hms_svc.domain.job import Job
from hms_svc.domain.strict_json import is_same_json
from hms_svc.operations.intake import Draft, Faults, SubmissionOptions, make_jobs
from hms_svc.ports.broker import Acceptance, Broker, Enqueued
from hms_svc.ports.inspection import Inspection
from hms_svc.sdk.job_defaults import Completer, with_faults_of_data
from hms_svc.sdk.registry import Registry

BATCH: Final = 2000
LOOKUP_BATCH: Final = 500


def check_jobs(
    drafts: Sequence[Draft],
    options: SubmissionOptions,
    faults: Faults,
    *,
    registry: Registry | None,
    now_ms: int,
) -> list[tuple[Draft, Job]]:
    """Return all jobs, each with its draft; validated and completed if a registry is given.

    Faults are added to `faults`. Of copies that differ in nothing, only one is validated.
    """
    jobs: list[tuple[Draft, Job]] = []
    seen: dict[str, Job] = {}
    for draft in drafts:
        completer = Completer(registry)
        is_read = False
        try:
            for made in make_jobs(draft, options, now_ms):
                is_read = True
                job = completer.complete(made)
                if "id" in draft.value:
                    check_same(job, seen)
                jobs.append((draft, job))
        except MalformedJob as error:
            if registry is not None and not is_read and not options.assignments:
                value = {"type": options.type, **draft.value}
                error = with_faults_of_data(error, value, registry)
            faults.add_each(draft, error)
        except BadInput as error:
            faults.add_to(draft, "id", error)
    return jobs


async def check_ids(
    jobs: Sequence[tuple[Draft, Job]], given: set[str], inspection: Inspection, faults: Faults
) -> None:
    """Find ids given by the producer that the broker knows with another type or other data."""
    named = [(draft, job) for draft, job in jobs if job.id in given]
    for place in await find_taken([job for _, job in named], inspection):
        draft, job = named[place]
        faults.add_to(draft, "id", id_taken(job.id))


async def find_taken(jobs: Sequence[Job], inspection: Inspection) -> list[int]:
    """Return the indexes of jobs whose id the broker knows with another type or other data."""
    taken: list[int] = []
    for start in range(0, len(jobs), LOOKUP_BATCH):
        chunk = jobs[start : start + LOOKUP_BATCH]
        known = await inspection.details([job.id for job in chunk])
        for place, (job, detail) in enumerate(zip(chunk, known, strict=True), start):
            if detail is not None and not _is_same(
                job, detail.view.type, detail.view.data, malformed=detail.raw is not None
            ):
                taken.append(place)
    return taken


async def send(broker: Broker, jobs: Sequence[Job]) -> AsyncIterator[Sequence[Enqueued]]:
    """Enqueue jobs in large batches, and yield the answers batch by batch."""
    for start in range(0, len(jobs), BATCH):
        answers = await broker.enqueue(jobs[start : start + BATCH])
        for answer in answers:
            if answer.acceptance is Acceptance.CONFLICT:
                raise IdConflict(f"id {answer.job_id!r} was used by another job in the meantime")
        yield answers


def check_same(job: Job, seen: dict[str, Job]) -> None:
    """Raise IdConflict for an id that was seen with another type or other data."""
    other = seen.setdefault(job.id, job)
    if not _is_same(job, other.type, other.data, malformed=False):
        raise IdConflict(f"id {job.id!r} occurs twice in the input, with different data")


def _is_same(job: Job, type: str, data: bytes, *, malformed: bool) -> bool:
    return not malformed and job.type == type and is_same_json(data, job.data)


def id_taken(job_id: str, more: str = "") -> IdConflict:
    """Return the error of an id that belongs to another job; `more` is appended."""
    message = f"id {job_id!r} belongs to another job, with another type or other data"
    return IdConflict(message + more)
