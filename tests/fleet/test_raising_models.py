"""The payload model of a type is a service's code: what it raises hurts the one job alone."""

from __future__ import annotations

import json
from functools import partial

import pytest
from pydantic import BaseModel, field_validator

from hms_svc import bootstrap
from hms_svc.domain.errors import MalformedJob
from hms_svc.domain.job import Job, make_job
from hms_svc.sdk.job_defaults import complete, complete_if_possible
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings
from tests.support.fleet import TYPE, Fleet, settings_for
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

WARDS = {"north": 1}


class Fee(BaseModel):
    ward: str

    @field_validator("ward")
    @classmethod
    def known(cls, ward: str) -> str:
        return f"{WARDS[ward]}"  # a KeyError, which pydantic lets through


def registry_of() -> Registry:
    registry = Registry()
    registry.job(TYPE, payload=Fee, unique=lambda fee: f"ward-{fee.ward}")(lambda: None)
    return registry


def item(name: str, ward: str) -> bytes:
    return json.dumps({"id": name, "data": {"ward": ward}}).encode()


async def ids_claimed(fleet: Fleet, *wanted: str) -> None:
    found: set[str] = set()

    async def all_there() -> bool:
        found.update(job.job.id for job in await fleet.claim())
        return found >= set(wanted)

    await until(f"{wanted} are claimed", all_there)


async def test_an_item_whose_model_raises_holds_up_no_intake(
    settings: Settings, redis_server: RedisServer
) -> None:
    made = partial(complete_if_possible, registry=registry_of())
    where = settings_for(settings, redis_server.url())
    async with bootstrap.backend(where, complete=made) as backend:
        fleet = Fleet(backend, redis_server)
        await fleet.claim()
        redis_server.cli("LPUSH", f"jobs:{TYPE}", item("bad", "nowhere"), item("good", "north"))
        await ids_claimed(fleet, "bad", "good")
        detail = await fleet.detail("good")
        assert detail is not None
        assert detail.view.unique_key == "ward-1"


async def test_what_breaks_one_intake_breaks_no_other_and_goes_on_when_mended(
    settings: Settings, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    broken = True

    def breaks(job: Job) -> Job:
        if broken and job.type == "a.job":
            raise RuntimeError("out of order")
        return job

    where = settings_for(settings, redis_server.url())
    async with bootstrap.backend(where, complete=breaks) as backend:
        fleet = Fleet(backend, redis_server)
        redis_server.cli("LPUSH", "jobs:a.job", b'{"id":"a","data":{}}')
        redis_server.cli("LPUSH", "jobs:b.job", b'{"id":"b","data":{}}')
        await fleet.broker.reap(10)
        assert await fleet.state("b") is not None
        assert "the intake of a.job cannot be read" in caplog.text
        broken = False
        await fleet.broker.reap(10)
        assert await fleet.state("a") is not None


async def test_a_producer_is_told_what_the_model_raised() -> None:
    job = make_job(TYPE, {"ward": "nowhere"}, now_ms=1)
    with pytest.raises(MalformedJob, match="data: Fee raised KeyError: 'nowhere'") as caught:
        complete(job, registry_of())
    assert caught.value.field == "data"
    assert complete_if_possible(job, registry_of()) == job


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Shapeless:
    def __repr__(self) -> str:
        raise RuntimeError("no shape")


async def test_a_key_that_cannot_be_put_into_words_is_a_fault_of_its_job() -> None:
    def unspeakable(data: object) -> str:
        raise Unspeakable

    def shapeless(data: object) -> object:
        return Shapeless()

    for unique in (unspeakable, shapeless):
        registry = Registry()
        registry.job(TYPE, unique=unique)(lambda: None)  # type: ignore[arg-type]  # a key of any kind is the point
        job = make_job(TYPE, {}, now_ms=1)
        assert complete_if_possible(job, registry) == job
        with pytest.raises(MalformedJob, match="unique key of"):
            complete(job, registry)
