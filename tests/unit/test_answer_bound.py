"""Who waits for an engine: for a slow one until it answers, for a silent one not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.ports import answer_timeout
from hms_svc.ports.answer_timeout import AnswerBound

PATIENCE_SECONDS = 30.0


class Engine:
    """Answers a call once `works`, and a probe while it `speaks`."""

    def __init__(self) -> None:
        self.works, self.speaks = asyncio.Event(), asyncio.Event()
        self.probes = self.at_once = self.most_at_once = 0
        self.probed = asyncio.Event()
        self.bound = AnswerBound("engine", self.probe, BrokerUnavailable)

    async def probe(self) -> None:
        self.probes += 1
        self.probed.set()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.speaks.wait()
        finally:
            self.at_once -= 1

    async def call(self) -> str:
        async with self.bound.hold():
            await self.works.wait()
        return "done"


@pytest.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    monkeypatch.setattr(answer_timeout, "ASK_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(answer_timeout, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr(answer_timeout, "_PAUSE_SECONDS", 0.001)
    made = Engine()
    async with asyncio.timeout(PATIENCE_SECONDS):
        yield made
        await made.bound.close()


async def test_a_slow_engine_is_waited_for(engine: Engine) -> None:
    engine.speaks.set()
    calling = asyncio.create_task(engine.call())
    for _ in range(3):
        engine.probed.clear()
        await engine.probed.wait()
    assert not calling.done()
    engine.works.set()
    assert await calling == "done"


async def test_all_who_wait_for_a_silent_engine_are_told_and_one_probe_asks_for_them(
    engine: Engine,
) -> None:
    calls = [asyncio.create_task(engine.call()) for _ in range(50)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert {str(error) for error in found} == {
        f"engine: no answer in {answer_timeout.MOST_SECONDS:g} s"
    }
    assert {type(error) for error in found} == {BrokerUnavailable}
    engine.works.set()
    for _ in range(50):
        with pytest.raises(BrokerUnavailable):
            await engine.call()
    assert engine.most_at_once == 1


async def test_calls_go_on_once_a_silent_engine_answers(engine: Engine) -> None:
    with pytest.raises(BrokerUnavailable):
        await engine.call()
    engine.works.set()
    engine.speaks.set()
    await until_it_answers(engine)


async def test_a_probe_that_is_refused_is_no_answer(engine: Engine) -> None:
    async def refused() -> None:
        raise BrokerUnavailable("nobody listens")

    engine.bound = AnswerBound("engine", refused, BrokerUnavailable)
    with pytest.raises(BrokerUnavailable, match="no answer"):
        await engine.call()
    await engine.bound.close()


async def test_a_time_out_of_the_call_itself_is_its_own(engine: Engine) -> None:
    with pytest.raises(TimeoutError, match="mine"):
        async with engine.bound.hold():
            raise TimeoutError("mine")


async def test_a_call_that_takes_its_time_to_end_keeps_nobody_out(engine: Engine) -> None:
    """It ends in one silence, and is still on its way out in the next."""
    may_end = asyncio.Event()

    async def lingering() -> None:
        async with engine.bound.hold():
            try:
                await engine.works.wait()
            finally:
                await may_end.wait()

    slow = asyncio.create_task(lingering())
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            await engine.call()
        engine.speaks.set()
        engine.works.set()
        await until_it_answers(engine)
        engine.speaks.clear()
        engine.works.clear()
    may_end.set()
    with pytest.raises(BrokerUnavailable):
        await slow


async def until_it_answers(engine: Engine) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                assert await engine.call() == "done"
            except BrokerUnavailable:
                await asyncio.sleep(0)
            else:
                return
