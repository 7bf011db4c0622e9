"""A service in types: it has no mistake, and a type checker finds none."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel

import hms_svc
from hms_svc import (
    BlockingTransaction,
    DeadLetter,
    Job,
    Registry,
    RetryPolicy,
    RunningJob,
    Transaction,
    aio,
)

registry = Registry()


class Application(BaseModel):
    parcel: str
    storeys: int = 1


class Granted(BaseModel):
    permit: str


def is_built_on(application: Application) -> bool:
    return application.storeys < 40


async def has_no_permit(application: Application) -> None:
    assert application.parcel


def parcel_of(application: Application) -> str:
    return application.parcel


@registry.job(
    "permit.apply",
    payload=Application,
    validators=[is_built_on, has_no_permit],
    unique=lambda application: application.parcel,
    retry=RetryPolicy(max_attempts=3),
)
async def apply(job: RunningJob[Application]) -> Granted:
    if job.payload.storeys > 10:
        raise DeadLetter("too high")
    await notify.enqueue({"permit": job.id}, id=f"{job.id}.notify")
    return Granted(permit=job.payload.parcel.upper())


@registry.job("permit.render", payload=Application, unique=parcel_of)
def render(job: RunningJob[Application]) -> list[Granted]:
    return [Granted(permit=job.payload.parcel)]


@registry.job("permit.notify")
def notify(job: RunningJob) -> None:
    print(job.data["permit"], job.payload["permit"])


@registry.job("permit.sweep", schedule="0 3 * * *")
def sweep() -> int:
    return 0


async def use() -> str:
    handle = await apply.enqueue(Application(parcel="17"), delay=timedelta(minutes=1))
    granted = await handle.result(timeout=10)
    found = await aio.jobs.get(handle.id)
    state: str = await found.state()
    for each in await render.enqueue_all([Application(parcel="1")], priority=5):
        for part in await each.result():
            state += part.permit
    return granted.permit + state


def use_blocking() -> str:
    job: Job = apply.job(Application(parcel="17"), unique_key="17")
    job.enqueue()
    swept: int = sweep.enqueue_blocking(None).result()
    rendered = render.enqueue_blocking(Application(parcel="17")).result(5)
    hms_svc.jobs.get(job.id).cancel("not needed")
    for handle in hms_svc.jobs.list("state:dead"):
        print(handle.last_state)
    return rendered[0].permit + str(swept)


async def test(job: RunningJob[Application]) -> str:
    granted = await apply(job)
    return granted.permit + render(job)[0].permit + str(sweep())


def ask(parcel: str) -> int:
    def write(tx: BlockingTransaction) -> int:
        tx.execute("insert into applications values ($1)", parcel)
        return len(tx.fetch("select parcel from applications"))

    return hms_svc.sql.transaction(write)


async def ask_awaitable(parcel: str) -> str:
    async def write(tx: Transaction) -> str:
        await tx.execute("insert into applications values ($1)", parcel)
        return parcel

    return await aio.sql.transaction(write)
