"""Threads for plain functions: as many as are needed, no more than are allowed."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator

import pytest

from hms_svc.runtime.threads import PlainThreads
from tests.support.waiting import until

SIZE = 8


@pytest.fixture
async def threads() -> AsyncIterator[PlainThreads]:
    threads = PlainThreads(SIZE, asyncio.get_running_loop())
    yield threads
    threads.close()


async def test_a_burst_of_short_functions_is_done_by_few_threads(threads: PlainThreads) -> None:
    names = await asyncio.gather(
        *(threads.call(lambda: threading.current_thread().name) for _ in range(1000))
    )
    assert len(names) == 1000
    assert len(set(names)) <= SIZE


async def test_functions_that_stand_still_get_threads_up_to_the_limit(
    threads: PlainThreads,
) -> None:
    meeting = threading.Barrier(SIZE)
    calls = [threads.call(meeting.wait, 20) for _ in range(SIZE)]
    assert sorted(await asyncio.gather(*calls)) == list(range(SIZE))


async def test_no_more_run_than_are_allowed(threads: PlainThreads) -> None:
    go_on = threading.Event()
    inside: set[int] = set()

    def enter(number: int) -> None:
        inside.add(number)
        go_on.wait(20)

    calls = [asyncio.create_task(threads.call(enter, number)) for number in range(3 * SIZE)]
    await until("all threads are inside", lambda: len(inside) == SIZE)
    assert threads.busy == SIZE
    go_on.set()
    await asyncio.gather(*calls)
    assert len(inside) == 3 * SIZE


async def test_short_ones_overtake_one_that_stands_still(threads: PlainThreads) -> None:
    go_on = threading.Event()
    slow = asyncio.create_task(threads.call(go_on.wait, 20))
    assert await asyncio.gather(*(threads.call(int, "7") for _ in range(100))) == [7] * 100
    assert not slow.done()
    go_on.set()
    assert await slow


async def test_errors_come_back(threads: PlainThreads) -> None:
    with pytest.raises(ZeroDivisionError):
        await threads.call(lambda: 1 / 0)


async def test_the_context_goes_along(threads: PlainThreads) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("here")
    assert await threads.call(variable.get) == "here"


async def test_one_report_that_breaks_does_not_lose_the_others(threads: PlainThreads) -> None:
    woken: list[int] = []
    faults: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))

    def report(number: int) -> None:
        if number == 3:
            raise KeyError(number)
        woken.append(number)

    context = contextvars.copy_context()
    for number in range(10):
        threads.submit(context, lambda: None, lambda *_, number=number: report(number))
    await until("all others are heard", lambda: len(woken) == 9)
    assert [type(fault) for fault in faults] == [KeyError]


async def test_a_cancelled_call_ends_when_its_function_does(threads: PlainThreads) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def function() -> str:
        entered.set()
        go_on.wait(20)
        return "done"

    call = asyncio.create_task(threads.call(function))
    await until("it runs", entered.is_set)
    call.cancel()
    await asyncio.sleep(0)
    assert not call.done()
    go_on.set()
    assert await call == "done"
    assert call.cancelling()


async def test_rounds_of_work_and_idleness_lose_nothing(threads: PlainThreads) -> None:
    for size in [1, 2, 3, 50, 1] * 20:
        assert await asyncio.gather(*(threads.call(int, n) for n in range(size))) == [*range(size)]
    await until("the threads fall asleep", lambda: threads.busy == 0)
