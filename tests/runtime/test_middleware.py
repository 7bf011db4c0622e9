"""Middleware is around payload check, validators, governance and handler, and cannot undo a verdict."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest
from pydantic import BaseModel

from hms_svc import LeaseLost, Registry, RetryLater, RetryPolicy, Run, RunningJob, Snooze
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act
from tests.support.waiting import until
from tests.support.worker import TYPE, HarnessMaker, on_embedded_first, result_of


class Application(BaseModel):
    parcel: int


class Clock:
    pass


pytestmark = on_embedded_first


async def swallow(job: RunningJob, run: Run) -> Any:
    """Make a success of everything."""
    try:
        return await run()
    except BaseException:  # noqa: BLE001 - the point of this test
        return "all is well"


async def test_the_first_is_outermost_and_those_who_include_are_around_the_included(
    open_harness: HarnessMaker,
) -> None:
    inner, outer, happened = Registry(), Registry(), list[str]()

    def note(registry: Registry, name: str) -> None:
        async def middleware(job: RunningJob, run: Run) -> Any:
            happened.append(f"{name} before {job.payload}")
            result = await run()
            happened.append(f"{name} after {job.payload}")
            return [name, *result]

        registry.middleware(middleware)

    def validator(payload: Application) -> None:
        happened.append("validator")

    note(inner, "third")
    note(outer, "first")

    @inner.job(TYPE, payload=Application, validators=[validator])
    def handle(job: RunningJob) -> list[str]:
        assert threading.current_thread() is not threading.main_thread()
        happened.append("handler")
        return ["result"]

    outer.include(inner)
    note(inner, "fourth")
    note(outer, "second")
    outer.job("outer.job")(lambda job: ["outer"])

    async with open_harness(outer) as harness:
        harness.start()
        assert result_of(await harness.run({"parcel": 7})) == [
            *("first", "second", "third", "fourth"),
            "result",
        ]
        assert happened == [
            "first before {'parcel': 7}",
            "second before {'parcel': 7}",
            "third before {'parcel': 7}",
            "fourth before {'parcel': 7}",
            "validator",
            "handler",
            "fourth after parcel=7",
            "third after parcel=7",
            "second after parcel=7",
            "first after parcel=7",
        ]
        assert result_of(await harness.run(type="outer.job")) == ["first", "second", "outer"]


async def test_it_gets_resources_and_knows_the_current_job(open_harness: HarnessMaker) -> None:
    registry = Registry()

    @registry.resource
    def clock() -> Clock:
        return Clock()

    @registry.middleware
    async def stamped(job: RunningJob, run: Run, clock: Clock) -> Any:
        print("before", type(clock).__name__)
        return await run()

    @registry.job(TYPE)
    async def handle(job: RunningJob) -> None:
        print("in the handler")

    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run()
    assert detail.attempts[-1].log == "before Clock\nin the handler\n"


async def test_an_error_may_become_a_result_or_an_outcome(open_harness: HarnessMaker) -> None:
    registry = Registry()

    @registry.middleware
    async def translate(job: RunningJob, run: Run) -> Any:
        try:
            return await run()
        except KeyError:
            return "not found"
        except ConnectionError as error:
            raise RetryLater(3600, "the server rests") from error

    @registry.job(TYPE)
    def handle(job: RunningJob) -> None:
        raise KeyError("x") if job.data["n"] == 1 else ConnectionError("refused")

    async with open_harness(registry) as harness:
        harness.start()
        assert result_of(await harness.run({"n": 1})) == "not found"
        job_id = await harness.enqueue({"n": 2})
        detail = await harness.reaches(job_id, State.RETRYING)
        assert detail.view.detail == "the server rests"


async def test_it_sees_the_error_of_a_validator_which_is_named_if_it_stays(
    open_harness: HarnessMaker,
) -> None:
    registry = Registry()

    @registry.middleware
    async def forgive(job: RunningJob, run: Run) -> Any:
        try:
            return await run()
        except KeyError as error:
            if job.data["n"] == 1:
                return f"forgiven {error}"
            raise

    def broken(payload: dict[str, int]) -> bool:
        return payload["missing"] > 0

    registry.job(TYPE, validators=[broken], retry=RetryPolicy(1))(lambda job: None)
    async with open_harness(registry) as harness:
        harness.start()
        assert result_of(await harness.run({"n": 1})) == "forgiven 'missing'"
        view = (await harness.run({"n": 2})).view
        assert (view.state, view.by) == (State.DEAD, "broken")
        assert view.detail.startswith("KeyError: 'missing'")


async def test_an_error_of_its_own_names_it(open_harness: HarnessMaker) -> None:
    registry = Registry()

    @registry.resource
    def clock() -> Clock:
        return Clock()

    @registry.middleware
    async def outer(job: RunningJob, run: Run) -> Any:
        return await run()

    @registry.middleware
    async def inner(job: RunningJob, run: Run, clock: Clock) -> Any:
        try:
            await run()
        except KeyError as error:
            raise LookupError("translated") from error
        raise ArithmeticError("after the job")

    @registry.job(TYPE, retry=RetryPolicy(1))
    async def handle(job: RunningJob) -> None:
        if job.data["n"]:
            raise KeyError if job.data["n"] == 1 else OSError("the handler's own")

    async with open_harness(registry) as harness:
        harness.start()
        for n, by, kind in (
            (0, "inner", "ArithmeticError"),
            (1, "inner", "LookupError"),
            (2, "handle", "OSError"),
        ):
            view = (await harness.run({"n": n})).view
            assert (view.by, view.detail.partition(":")[0]) == (by, kind)


async def test_a_rejection_stands(open_harness: HarnessMaker) -> None:
    registry = Registry()
    registry.middleware(swallow)

    @registry.job(TYPE, payload=Application, validators=[lambda payload: payload.parcel > 0])
    async def handle(job: RunningJob) -> None:
        raise AssertionError("the handler ran")

    async with open_harness(registry) as harness:
        harness.start()
        for data in ({"parcel": 0}, {"parcel": "none"}):
            detail = await harness.run(data)
            assert detail.view.state is State.REJECTED, detail


async def test_a_denied_action_stands_and_so_does_a_held_one(open_harness: HarnessMaker) -> None:
    registry = Registry()
    registry.middleware(swallow)

    @registry.job(TYPE, action="unheard.of")
    async def handle(job: RunningJob) -> None:
        raise AssertionError("the handler ran")

    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.reaches(await harness.enqueue(), State.REJECTED, State.HELD)
        assert detail.view.reason == "governance"


async def test_an_operators_cancel_stands(open_harness: HarnessMaker) -> None:
    registry, began = Registry(), asyncio.Event()
    registry.middleware(swallow)

    @registry.job(TYPE)
    async def handle(job: RunningJob) -> None:
        began.set()
        await asyncio.Event().wait()

    async with open_harness(registry) as harness:
        harness.start()
        job_id = await harness.enqueue()
        await until("the handler runs", began.is_set)
        await harness.act(Act.CANCEL, job_id)
        assert (await harness.reaches(job_id)).view.state is State.CANCELLED


async def test_a_timeout_stands(open_harness: HarnessMaker) -> None:
    registry = Registry()
    registry.middleware(swallow)

    @registry.job(TYPE, timeout_seconds=0.05, retry=RetryPolicy(1))
    async def handle(job: RunningJob) -> None:
        await asyncio.Event().wait()

    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run()
        assert (detail.view.state, detail.view.reason) == (State.DEAD, "timeout")


async def test_a_job_whose_worker_stops_is_given_back(open_harness: HarnessMaker) -> None:
    registry, began = Registry(), asyncio.Event()
    registry.middleware(swallow)

    @registry.job(TYPE)
    async def handle(job: RunningJob) -> None:
        began.set()
        await asyncio.Event().wait()

    async with open_harness(registry) as harness:
        worker = harness.start(grace_seconds=0.05)
        job_id = await harness.enqueue()
        await until("the handler runs", began.is_set)
        worker.stop()
        await harness.ended(worker)
        assert (await harness.detail(job_id)).view.state is State.QUEUED


async def test_a_lost_lease_stands(open_harness: HarnessMaker) -> None:
    registry = Registry()
    registry.middleware(swallow)

    @registry.job(TYPE)
    async def handle(job: RunningJob) -> None:
        if job.claimed.claims == 1:
            raise LeaseLost("another worker has it")

    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run()
        assert len(detail.attempts) == 2, detail.attempts


async def forgets(job: RunningJob, run: Run) -> Any:
    return None


left = set[asyncio.Task[Any]]()


async def leaves_early(job: RunningJob, run: Run) -> Any:
    left.add(asyncio.ensure_future(run()))


async def runs_twice(job: RunningJob, run: Run) -> Any:
    await run()
    return await run()


@pytest.mark.parametrize(
    ("middleware", "said"),
    [
        (forgets, "MiddlewareFault: middleware forgets (tests/runtime/test_middleware.py:"),
        (leaves_early, "returned without having awaited run()"),
        (runs_twice, "called run() twice"),
    ],
)
async def test_it_runs_the_job_once_or_says_what_becomes_of_it(
    open_harness: HarnessMaker, middleware: Any, said: str
) -> None:
    registry = Registry()
    registry.middleware(middleware)
    registry.job(TYPE, retry=RetryPolicy(1))(lambda job: None)
    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run()
        assert detail.view.state is State.DEAD
        assert said in detail.view.detail


async def test_it_may_end_a_job_by_an_outcome_without_running_it(
    open_harness: HarnessMaker,
) -> None:
    registry = Registry()

    @registry.middleware
    async def closed(job: RunningJob, run: Run) -> Any:
        return Snooze(3600, "the office is closed")

    registry.job(TYPE)(lambda job: None)
    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.reaches(await harness.enqueue(), State.SCHEDULED)
        assert detail.view.detail == "the office is closed"


async def test_it_writes_nothing_before_the_validators_have_accepted(
    open_harness: HarnessMaker,
) -> None:
    registry = Registry()

    @registry.middleware
    async def hasty(job: RunningJob, run: Run) -> Any:
        await job.dao.insert_case({"parcel": 7})
        return await run()

    registry.job(TYPE, payload=Application, retry=RetryPolicy(1))(lambda job: None)
    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run({"parcel": 7})
        assert detail.view.state is State.DEAD, detail
        assert await harness.cases() == []


async def test_one_that_exits_fails_its_job_alone(open_harness: HarnessMaker) -> None:
    registry = Registry()

    @registry.middleware
    async def leave(job: RunningJob, run: Run) -> Any:
        await run()
        raise SystemExit(3)

    registry.job(TYPE, retry=RetryPolicy(1))(lambda job: None)
    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run()
        assert detail.view.detail.startswith("HandlerExited: called sys.exit(3)")


@pytest.mark.parametrize("is_plain", [False, True])
async def test_a_time_limit_of_middleware_ends_a_job_whose_plain_function_outlasts_it(
    open_harness: HarnessMaker, *, is_plain: bool
) -> None:
    registry, ran, late = Registry(), list[str](), threading.Event()

    async def limit(job: RunningJob, run: Run) -> Any:
        async with asyncio.timeout(0.05) as scope:
            asyncio.get_running_loop().call_at((scope.when() or 0.0) + 0.05, late.set)
            return await run()

    registry.middleware(limit)

    def outlast(payload: Any) -> bool:
        return late.wait(5.0)

    class Writing:
        def __await__(self) -> Generator[None, None, None]:
            ran.append("handler")
            yield

    def plain(job: RunningJob) -> Writing:
        late.wait(5.0)
        return Writing()

    async def handle(job: RunningJob) -> None:
        await Writing()

    once = RetryPolicy(max_attempts=1)
    if is_plain:
        registry.job(TYPE, retry=once)(plain)
    else:
        registry.job(TYPE, retry=once, validators=[outlast])(handle)
    async with open_harness(registry) as harness:
        harness.start()
        ended = await harness.run({})
        assert (ended.view.state, ran) == (State.DEAD, [])
        assert "TimeoutError" in str(ended.attempts[-1].error)


async def test_a_validator_that_swallows_the_cancellation_of_its_job_lets_nothing_begin(
    open_harness: HarnessMaker,
) -> None:
    registry, ran = Registry(), list[str]()

    async def swallowing(payload: Any) -> bool:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return True

    @registry.job(TYPE, retry=RetryPolicy(max_attempts=1), validators=[swallowing])
    async def handle(job: RunningJob) -> None:
        ran.append("handler")

    async with open_harness(registry) as harness:
        harness.start()
        ended = await harness.run({})
        assert (ended.view.state, ran) == (State.DEAD, [])
