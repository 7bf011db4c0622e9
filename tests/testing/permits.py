"""The application that the tests of the kit use."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from hms_svc import (
    DeadLetter,
    Job,
    Rate,
    Registry,
    RetryLater,
    RetryPolicy,
    RunningJob,
    ValidationFailed,
    dao,
    gov,
)
from tests.support.waiting import PATIENCE_SECONDS

FAR_HOUR = (datetime.now(UTC).hour + 12) % 24
"""Half a day away, so that no test but the one that moves a whole day reaches it."""
registry = Registry()
log = logging.getLogger("permits")
opened: list[str] = []
charged: list[str] = []


class Application(BaseModel):
    parcel: str
    storeys: int = 1


class Granted(BaseModel):
    permit: str


@registry.settings("permits")
class Settings(BaseModel):
    fee: int


class Registrar:
    def __init__(self, name: str) -> None:
        self.name = name


@registry.resource
def registrar() -> Iterator[Registrar]:
    opened.append("real")
    yield Registrar("real")
    opened.append("real closed")


def is_low(application: Application) -> None:
    if application.storeys > 5:
        raise ValidationFailed("too high")


@registry.job(
    "permit.apply", payload=Application, validators=[is_low], unique=lambda p: p.parcel, priority=3
)
async def apply(job: RunningJob[Application], registrar: Registrar) -> Granted:
    job.log(f"applied at {registrar.name}")
    print("printed")
    log.warning("logged")
    await review.enqueue({"parcel": job.payload.parcel})
    return Granted(permit=f"P-{job.payload.parcel}")


@registry.job("permit.review")
def review(job: RunningJob[Any]) -> str:
    Job("permit.letter", {"to": job.data["parcel"]}, delay=timedelta(hours=1)).enqueue()
    return "reviewed"


@registry.job("permit.letter", action="permit.letter")
def letter(job: RunningJob[Any], settings: Settings) -> int:
    return settings.fee


@registry.job("permit.charge", retry=RetryPolicy(3, base_seconds=60, cap_seconds=60))
def charge(job: RunningJob[Any]) -> None:
    raise ConnectionError(f"no bank, attempt {job.attempt}")


@registry.job("permit.case")
def case(job: RunningJob[Any]) -> str:
    gov.vet("permit.case", job.data)
    return dao.insert_case(
        {"lat": 38.9, "lon": -77.0, "note": job.data}, events=[{"type": "permit.noted", "data": 1}]
    )


@registry.job("permit.careless")
def careless(job: RunningJob[Any]) -> int:
    """Do everything twice if it runs twice."""
    charged.append(job.id)
    return len(charged)


@registry.job("permit.careful")
def careful(job: RunningJob[Any]) -> str:
    """Open the case once, however often it runs."""
    charged.append(job.id)
    return dao.insert_case({"lat": 1.0, "lon": 1.0})


@registry.job("permit.wait")
async def wait(job: RunningJob[Any]) -> Any:
    handle = await review.enqueue({"parcel": "3"})
    return await handle.result(PATIENCE_SECONDS)


@registry.job("permit.wait_plain")
def wait_plain(job: RunningJob[Any]) -> Any:
    return review.enqueue_blocking({"parcel": "4"}).result(PATIENCE_SECONDS)


@registry.job("permit.end")
def end(job: RunningJob[Any]) -> None:
    raise {"dead": DeadLetter("no ink"), "later": RetryLater(after_seconds=30)}[job.data]


@registry.job("permit.limited", limits=[Rate(1, per_seconds=60)])
def limited(job: RunningJob[Any]) -> None:
    pass


@registry.job("permit.nightly", schedule=f"0 {FAR_HOUR} * * *", schedule_data="night")
def nightly(job: RunningJob[Any]) -> str:
    return f"it is {job.data}"


@registry.job("permit.slow", timeout_seconds=0.1, retry=RetryPolicy(1))
async def slow(job: RunningJob[Any]) -> None:
    await asyncio.Event().wait()


@registry.job("permit.render", isolate="process")
def render(job: RunningJob[Any]) -> int:
    return os.getpid()


@registry.job("permit.stepped")
async def stepped(job: RunningJob[Any]) -> Any:
    def charge() -> int:
        charged.append(job.id)
        return len(charged)

    return await job.step("charge", charge)
