"""Resources are opened once a worker, before its first job, and closed after its last."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from hms_svc import Registry, RunningJob
from hms_svc.domain.errors import ResourceFailed
from hms_svc.sdk import open_resources
from tests.support.worker import TYPE, HarnessMaker, result_of


class Pool:
    """A resource that notes what becomes of it."""

    def __init__(self, opened_on: int) -> None:
        self.opened_on = opened_on
        self.uses = 0


class Clock:
    pass


class Mailer:
    pass


async def test_handlers_get_what_was_opened_before_and_is_closed_after(
    open_harness: HarnessMaker,
) -> None:
    registry, happened = Registry(), list[str]()

    @registry.resource
    async def pool(clock: Clock) -> AsyncIterator[Pool]:
        happened.append("open pool")
        yield Pool(threading.get_ident())
        happened.append("close pool")

    @registry.resource
    def clock() -> Iterator[Clock]:
        happened.append("open clock")
        assert threading.current_thread() is not threading.main_thread()
        yield Clock()
        happened.append("close clock")

    @registry.job(TYPE)
    async def count(job: RunningJob, pool: Pool) -> int:
        pool.uses += 1
        happened.append("job")
        return pool.uses

    @registry.job("plain.job")
    def count_plainly(job: RunningJob, *, pool: Pool, clock: Clock) -> int:
        pool.uses += 1
        happened.append("job")
        return pool.uses

    async with open_harness(registry) as harness:
        assert happened == ["open clock", "open pool"]
        harness.start()
        assert result_of(await harness.run()) == 1
        assert result_of(await harness.run()) == 2
        assert result_of(await harness.run(type="plain.job")) == 3
    assert happened == [
        *("open clock", "open pool"),
        *("job", "job", "job"),
        *("close pool", "close clock"),
    ]


async def test_a_resource_that_does_not_open_closes_those_before_it(
    open_harness: HarnessMaker, caplog: pytest.LogCaptureFixture
) -> None:
    registry, happened = Registry(), list[str]()

    @registry.resource
    async def clock() -> AsyncIterator[Clock]:
        yield Clock()
        happened.append("closed")

    @registry.resource
    def pool(clock: Clock) -> Pool:
        raise ConnectionRefusedError("no server at db:5432")

    @registry.job(TYPE)
    async def handle(job: RunningJob) -> None:
        pass

    with pytest.raises(ResourceFailed) as caught:
        async with open_harness(registry):
            raise AssertionError("a worker began")
    assert "test_resources.py:" in str(caught.value)
    assert "resource pool could not be opened: ConnectionRefusedError: no server at db:5432" in str(
        caught.value
    )
    assert happened == ["closed"]
    [record] = [each for each in caplog.records if each.exc_info]
    assert record.levelname == "ERROR"


async def test_one_that_fails_to_close_does_not_keep_the_others_from_it(
    open_harness: HarnessMaker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_resources, "CLOSE_SECONDS", 0.05)
    registry, happened = Registry(), list[str]()

    @registry.resource
    async def clock() -> AsyncIterator[Clock]:
        yield Clock()
        happened.append("closed")

    @registry.resource
    def pool() -> Iterator[Pool]:
        yield Pool(0)
        raise OSError("it is gone")

    @registry.resource
    async def mailer() -> AsyncIterator[Mailer]:
        yield Mailer()
        await asyncio.Event().wait()

    registry.job(TYPE)(lambda job: None)
    async with open_harness(registry) as harness:
        harness.start()
        await harness.run()
    assert happened == ["closed"]
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "resource mailer was not closed within 0.05 s" in errors[0].getMessage()
    assert "resource pool could not be closed" in errors[1].getMessage()


async def test_one_that_does_not_open_in_time_has_failed(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_resources, "OPEN_SECONDS", 0.05)
    registry = Registry()

    @registry.resource
    async def pool() -> Pool:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    registry.job(TYPE)(lambda job: None)
    with pytest.raises(ResourceFailed, match=r"resource pool .*: it did not open within 0\.05 s"):
        async with open_harness(registry):
            raise AssertionError("a worker began")
