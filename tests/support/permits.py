"""A service of permits: its job types are submitted, awaited and cancelled through handles."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

import hms_svc
from hms_svc import DeadLetter, Registry, RunningJob, ValidationFailed, aio
from tests.support.waiting import PATIENCE_SECONDS

registry = Registry()


class Application(BaseModel):
    parcel: str
    storeys: int = 1


class Granted(BaseModel):
    permit: str


class Gate:
    """A handler waits here until the test lets it go on."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()

    async def wait(self) -> None:
        self.began.set()
        await self.may_end.wait()


gates: dict[str, Gate] = {}


@registry.job("permit.apply", payload=Application)
async def apply(job: RunningJob[Application]) -> Granted:
    return Granted(permit=f"P-{job.payload.parcel}-{job.payload.storeys}")


@registry.job("permit.wait", payload=Application, unique=lambda p: p.parcel, priority=7)
async def wait(job: RunningJob[Application]) -> list[Granted]:
    job.progress(0.5, "half")
    job.log("a line")
    await gates[job.payload.parcel].wait()
    return [Granted(permit="late")]


@registry.job("permit.end")
def end(job: RunningJob) -> None:
    """End as the data says."""
    if job.data == "dead":
        raise DeadLetter("no ink")
    if job.data == "rejected":
        raise ValidationFailed("no such parcel")
    if job.data == "cancelled":
        raise hms_svc.Cancel("withdrawn")


@registry.job("permit.review")
async def review(job: RunningJob[Any]) -> dict[str, str]:
    handle = await apply.enqueue(Application(parcel="7"), id=f"{job.id}.apply")
    return {"permit": (await handle.result(PATIENCE_SECONDS)).permit, "state": handle.last_state}


@registry.job("permit.review_plain")
def review_plain(job: RunningJob[Any]) -> dict[str, str]:
    handle = apply.enqueue_blocking(Application(parcel="8"), id=f"{job.id}.apply")
    found = hms_svc.jobs.get(handle.id)
    return {"permit": handle.result(PATIENCE_SECONDS).permit, "type": found.type}


@registry.job("permit.wait_plain", timeout_seconds=0.2)
def wait_plain(job: RunningJob[Any]) -> None:
    hms_svc.jobs.get(job.data).result()


@registry.job("permit.withdraw")
async def withdraw(job: RunningJob[Any]) -> None:
    await (await aio.jobs.get(job.data)).cancel("by a handler")
