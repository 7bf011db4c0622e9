"""Declared keys and priorities hold for jobs whose producers never heard of the application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import BaseModel

from hms_svc import Job, aio
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.ports.broker import Broker
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.control import Act
from hms_svc.ports.key_claims import KeyClaim
from hms_svc.runtime.scheduler import Scheduler, tick_job
from hms_svc.sdk.running_job import RunningJob
from tests.support.redis_server import RedisServer
from tests.support.waiting import until
from tests.support.worker import TYPE, HarnessMaker, WorkerHarness, registry_of


class Ward(BaseModel):
    ward: int


def ward_key(report: Ward) -> str:
    return f"ward-{report.ward}"


class Gate:
    """A handler that waits until it is told to go on, and counts its runs."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()

    async def pass_through(self, job: RunningJob) -> None:
        self.runs.append(job.id)
        self.began.set()
        await self.may_end.wait()


async def test_of_jobs_with_one_key_one_runs_and_the_others_are_rejected(
    open_harness: HarnessMaker,
) -> None:
    gate = Gate()
    async with open_harness(
        registry_of(gate.pass_through, payload=Ward, unique=ward_key)
    ) as harness:
        harness.start()
        first = await harness.enqueue({"ward": 7})
        await gate.began.wait()
        second = await harness.reaches(await harness.enqueue({"ward": 7}))
        view = second.view
        assert (view.state, view.reason, view.by) == (State.REJECTED, "unique", "claim")
        assert view.detail == f"unique key 'ward-7' is held by job {first}"
        assert (await harness.detail(first)).view.unique_key == "ward-7"
        gate.may_end.set()
        await harness.reaches(first, State.COMPLETED)
        third = await harness.run({"ward": 7})
        assert third.view.state is State.COMPLETED
        assert gate.runs == [first, third.view.id]


async def test_of_equal_jobs_of_one_claim_one_runs(open_harness: HarnessMaker) -> None:
    gate = Gate()
    async with open_harness(
        registry_of(gate.pass_through, payload=Ward, unique=ward_key)
    ) as harness:
        ids = [await harness.enqueue({"ward": ward}) for ward in (7, 7, 8, 7)]
        harness.start()
        for place in (1, 3):
            assert (await harness.reaches(ids[place])).view.reason == "unique"
        gate.may_end.set()
        for place in (0, 2):
            await harness.reaches(ids[place], State.COMPLETED)


async def test_a_job_that_is_tried_again_is_no_rival_of_itself(open_harness: HarnessMaker) -> None:
    def fail_once(job: RunningJob) -> int:
        if job.attempt == 1:
            raise OSError("once")
        return job.attempt

    retry = RetryPolicy(base_seconds=0, cap_seconds=0)
    async with open_harness(
        registry_of(fail_once, payload=Ward, unique=ward_key, retry=retry)
    ) as harness:
        harness.start()
        done = await harness.run({"ward": 7})
        assert (done.view.state, done.view.unique_key) == (State.COMPLETED, "ward-7")


async def open_case(job: RunningJob) -> str:
    case = await job.dao.insert_case(job.data, kind="sync")
    if job.attempt == 1:
        raise OSError("after the case")
    return case


async def test_a_job_with_a_case_is_not_rejected_for_a_key_that_was_declared_since(
    open_harness: HarnessMaker,
) -> None:
    async with open_harness(
        registry_of(open_case, retry=RetryPolicy(base_seconds=3600))
    ) as harness:
        harness.start()
        job_id = await harness.enqueue({"ward": 7})
        await harness.reaches(job_id, State.RETRYING)
    async with open_harness(registry_of(open_case, payload=Ward, unique=ward_key)) as harness:
        later = SystemClock().now_ms() + 3_600_000
        await harness.enqueue({"ward": 7}, unique_key="ward-7", not_before=later)
        await harness.act(Act.RETRY, job_id)
        harness.start()
        assert (await harness.reaches(job_id)).view.state is State.COMPLETED


@pytest.mark.parametrize(
    ("unique", "said"),
    [
        (lambda data: data["nosuch"], "raised KeyError: 'nosuch'"),
        (lambda data: 7, "returned 7, not a string of 1 to 256 characters"),
        (lambda data: "", "returned '', not a string"),
        (lambda data: "x" * 257, "not a string of 1 to 256 characters"),
        (lambda data: "\ud800", "a lone surrogate"),
    ],
)
async def test_a_key_that_cannot_be_made_is_an_error_of_the_job(
    open_harness: HarnessMaker, unique: Any, said: str
) -> None:
    retry = RetryPolicy(max_attempts=2, base_seconds=0, cap_seconds=0)
    runs: list[str] = []
    async with open_harness(
        registry_of(lambda job: runs.append(job.id), unique=unique, retry=retry)
    ) as harness:
        harness.start()
        detail = await harness.run({"ward": 7})
    view = detail.view
    assert (view.state, view.reason, len(detail.attempts)) == (State.DEAD, "error", 2)
    assert said in view.failure
    assert "test_declared.py:" in view.by
    assert runs == []


async def test_a_payload_that_does_not_fit_is_rejected_as_ever(open_harness: HarnessMaker) -> None:
    async with open_harness(
        registry_of(lambda job: None, payload=Ward, unique=ward_key)
    ) as harness:
        harness.start()
        view = (await harness.run({"ward": "x"})).view
        assert (view.state, view.reason) == (State.REJECTED, "payload")


class Forwarder:
    """A handler that submits two jobs of another type, one of them behind a case."""

    async def submit(self, job: RunningJob) -> None:
        await aio.Job("ward.sync", {"ward": 1}, id="direct").enqueue()
        follow_up = make_job("ward.sync", {"ward": 2}, now_ms=1, id="behind")
        await job.dao.insert_case({"ward": 2}, kind="sync", follow_ups=(follow_up,))


async def test_jobs_that_handlers_submit_have_key_and_priority_at_once(
    open_harness: HarnessMaker,
) -> None:
    registry = registry_of(Forwarder().submit)
    gate = Gate()
    declared: dict[str, Any] = {"payload": Ward, "unique": ward_key, "priority": 5}
    registry.job("ward.sync", **declared)(gate.pass_through)
    async with open_harness(registry) as harness:
        await harness.engines.control.pause("ward.sync", by="ravi", reason="")
        harness.start()
        await harness.run({})
        for name, key in (("direct", "ward-1"), ("behind", "ward-2")):
            view = (await harness.detail(await known(harness, name))).view
            assert (view.unique_key, view.priority, view.state) == (key, 5, State.QUEUED)


async def test_a_run_that_waits_does_not_have_the_next_one_rejected(
    open_harness: HarnessMaker,
) -> None:
    registry = registry_of(
        lambda job: None, unique=lambda data: "sweep", schedule="0 * * * *", priority=3
    )
    [declared] = registry
    now = SystemClock().now_ms()
    async with open_harness(registry) as harness:
        runs = [tick_job(declared, now - hours * 3_600_000, now) for hours in (2, 1)]
        answers = await harness.engines.broker.enqueue(runs)
        assert [answer.state for answer in answers] == [State.QUEUED, State.QUEUED]
        assert {run.priority for run in runs} == {3}
        assert Scheduler(harness.engines.broker, registry, SystemClock()).texts


class CountingBroker:
    """The broker, but that the first call for keys finds it away."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def take_keys(self, claims: list[KeyClaim]) -> list[str | None]:
        self.asked += 1
        if self.asked == 1:
            raise BrokerUnavailable("it went away")
        return await self._broker.take_keys(claims)


def through(harness: WorkerHarness) -> CountingBroker:
    counting = CountingBroker(harness.engines.broker)
    harness.engines = replace(harness.engines, broker=counting)
    return counting


async def test_an_outage_while_keys_are_taken_gives_the_jobs_back(
    open_harness: HarnessMaker,
) -> None:
    async with open_harness(
        registry_of(lambda job: job.attempt, payload=Ward, unique=ward_key)
    ) as harness:
        counting = through(harness)
        harness.start()
        job_id = await harness.enqueue({"ward": 7})
        waiting = await harness.reaches(job_id, State.SCHEDULED)
        assert (waiting.view.attempt, counting.asked) == (0, 1)


async def test_where_no_type_declares_a_key_none_is_asked_for(open_harness: HarnessMaker) -> None:
    async with open_harness(registry_of(lambda job: None)) as harness:
        counting = through(harness)
        harness.start()
        await harness.run({"ward": 7})
        assert counting.asked == 0


async def test_what_waited_for_the_first_worker_has_its_declared_priority(
    open_harness: HarnessMaker,
) -> None:
    async with open_harness(registry_of(lambda job: None, priority=50)) as harness:
        worker = harness.start()
        first = await harness.run({"ward": 7})
        worker.stop()
        await harness.ended(worker)
        later = await harness.enqueue({"ward": 8})
        assert first.view.state is State.COMPLETED
        assert (await harness.detail(later)).view.priority == 50


@pytest.mark.parametrize("settings", ["redis"], indirect=True)
async def test_what_was_pushed_before_a_worker_lived_is_taken_by_its_declaration(
    open_harness: HarnessMaker, redis_server: RedisServer
) -> None:
    gate = Gate()
    registry = registry_of(gate.pass_through, payload=Ward, unique=ward_key, priority=50)
    async with open_harness(registry) as harness:
        for name in ("one", "two"):
            item = f'{{"id":"{name}","data":{{"ward":7}}}}'
            redis_server.cli("LPUSH", f"jobs:{TYPE}", item)
        harness.start()
        second = await harness.reaches(await known(harness, "two"))
        assert (second.view.reason, second.view.by) == ("unique", "enqueue")
        first = (await harness.detail("one")).view
        assert (first.priority, first.unique_key) == (50, "ward-7")
        gate.may_end.set()
        await harness.reaches("one", State.COMPLETED)


async def known(harness: WorkerHarness, job_id: str) -> str:
    await until(f"job {job_id} is known", lambda: harness.details([job_id]))
    return job_id


def test_a_job_of_python_names_no_priority_unless_it_is_told() -> None:
    assert Job("x.y", {}).envelope.priority is None
    assert Job("x.y", {}, priority=0).envelope.priority == 0
