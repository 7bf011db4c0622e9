"""What both surfaces do, blocking or awaited: one coroutine for each operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hms_svc.domain.errors import BadInput, IdConflict
from hms_svc.facade.portal import portal
from hms_svc.handling.context import find_job, outside_name, require_job
from hms_svc.ports.broker import Acceptance, Producer

if TYPE_CHECKING:
    from hms_svc.domain.job import Job
    from hms_svc.handling.dao import Dao

BATCH: Final = 5000
"""Jobs to a transaction: one that is much longer would keep the workers waiting."""


async def enqueue(jobs: Sequence[Job]) -> list[str]:
    """Hand jobs to the broker, and return the state of each; raises IdConflict for an id that is taken."""
    job = find_job()
    broker: Producer
    if job is None:
        broker = (await portal().backend()).broker
    else:
        broker, jobs = job.broker, job.carry_trace(jobs)
    states: list[str] = []
    for start in range(0, len(jobs), BATCH):
        for answer in await broker.enqueue(jobs[start : start + BATCH]):
            if answer.acceptance is Acceptance.CONFLICT:
                raise IdConflict(
                    f"job id {answer.job_id!r} is taken, with another type or other data"
                )
            states.append(answer.state.value)
    return states


async def dao() -> Dao:
    """Return the running job's DAO, else the process's own."""
    job = find_job()
    return job.dao if job is not None else await portal().dao()


async def vet(action: str, payload: object) -> None:
    """Ask the process's own gate."""
    await (await portal().gate()).vet(action, payload)


def check_inside(name: str) -> None:
    """Raise NoActiveJob for a call of this name without a job, in a process that runs a worker."""
    if find_job() is None:
        require_job(name)


def check_outside(name: str) -> None:
    """Raise BadInput for a call of this name inside a job, whose verdict and fence it would pass by."""
    job = find_job()
    if job is not None:
        raise BadInput(f"{outside_name(name)}: job {job.id} is running here: call {name}")
