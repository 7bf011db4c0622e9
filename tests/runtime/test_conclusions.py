"""The end of a run: whatever raises while it is told and settled, the job ends, and says what it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import click
import pytest

from hms_svc import DeadLetter, RetryLater, RunningJob, ValidationFailed, dao
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.job import LeaseToken
from hms_svc.domain.lifecycle import State
from hms_svc.ports.broker import Settlement
from hms_svc.runtime import executor
from hms_svc.runtime.executor import RunTask, TypePlan
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.open_resources import BoundType
from tests.support.worker import HarnessMaker, registry_of, result_of


class Hostile:
    """A value that raises whenever anybody looks at it."""

    def __str__(self) -> str:
        raise LookupError("not to be put into words")

    def __bool__(self) -> bool:
        raise LookupError("neither true nor false")


class HostileError(Exception):
    def __str__(self) -> str:
        raise SystemExit("not to be put into words")


class Unnameable:
    """An answer that cannot even be asked for its class."""

    @property  # type: ignore[misc]  # the wrong type is the point
    def __class__(self) -> Any:
        raise LookupError("no class")


def print_bytes(job: RunningJob) -> None:
    job._log.append(b"bytes")  # type: ignore[arg-type]  # the wrong type is the point


def break_trace(job: RunningJob) -> str:
    class Trace:
        traceparent = ""

        def finish(self, disposition: object) -> None:
            raise LookupError("no trace")

    job.trace = Trace()  # type: ignore[assignment]  # the wrong type is the point
    return "kept"


def end(error: Exception) -> Callable[[RunningJob], None]:
    def handler(job: RunningJob) -> None:
        raise error

    return handler


def give(result: object) -> Callable[[RunningJob], object]:
    async def handler(job: RunningJob) -> object:
        return result

    return handler


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (end(DeadLetter(Hostile())), "LookupError: neither true nor false"),  # type: ignore[arg-type]  # the wrong type is the point
        (end(RetryLater(0, Hostile())), "LookupError: neither true nor false"),  # type: ignore[arg-type]  # the wrong type is the point
        (end(ValidationFailed(Hostile(), validator="v")), "LookupError: "),  # type: ignore[arg-type]  # the wrong type is the point
        (give(Unnameable()), "LookupError: no class"),
        (print_bytes, "TypeError: sequence item 0: expected str instance, bytes found"),
        (end(HostileError()), "HostileError"),
    ],
)
async def test_what_raises_while_a_run_is_concluded_ends_its_job_with_that_error(
    open_harness: HarnessMaker, handler: Any, words: str
) -> None:
    async with open_harness(registry_of(handler, retry=RetryPolicy(max_attempts=1))) as harness:
        worker = harness.start()
        detail = await harness.run()
        assert (detail.view.state, detail.view.reason) == (State.DEAD, "error")
        assert words in detail.view.detail
        assert len(worker.in_flight) == 0
        assert len(detail.attempts) == 1


async def test_a_job_with_a_case_keeps_it_when_its_end_cannot_be_told(
    open_harness: HarnessMaker,
) -> None:
    def handler(job: RunningJob) -> str:
        case = dao.insert_case(job.data)
        print_bytes(job)
        return case

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        detail = await harness.run()
        assert (detail.view.state, await harness.cases()) == (State.DEAD, [detail.view.id])
        assert detail.view.case_id is not None


async def test_a_trace_that_breaks_does_not_change_the_end(open_harness: HarnessMaker) -> None:
    async with open_harness(registry_of(break_trace)) as harness:
        harness.start()
        assert result_of(await harness.run()) == "kept"


async def test_progress_that_cannot_be_written_holds_up_no_settlement(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(job: RunningJob) -> str:
        job.progress(0.5)
        return "done"

    async def refuse(reports: object) -> None:
        raise TypeError("no progress")

    async with open_harness(registry_of(handler)) as harness:
        monkeypatch.setattr(harness.engines.broker, "record_progress", refuse)
        harness.start()
        assert result_of(await harness.run()) == "done"


async def test_an_outcome_that_the_broker_cannot_write_is_replaced_by_that_error(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_harness(registry_of(lambda: "unwritable")) as harness:
        settle = harness.engines.broker.settle

        async def refuse_completed(settlements: Sequence[Settlement]) -> list[LeaseToken]:
            if any(each.disposition.state is State.COMPLETED for each in settlements):
                raise TypeError("it cannot be encoded")
            return await settle(settlements)

        monkeypatch.setattr(harness.engines.broker, "settle", refuse_completed)
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.by) == (State.DEAD, "runtime")
        assert view.detail == "the outcome cannot be written: TypeError: it cannot be encoded"


async def test_a_run_that_cannot_begin_ends_its_job_and_no_other(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_start(type: JobType, bound: BoundType | None, **where: bool) -> TypePlan:
        if type.type == "test.other":
            raise LookupError("no plan")
        return TypePlan(type, bound, **where)

    monkeypatch.setattr(executor, "TypePlan", cannot_start)
    registry = registry_of(lambda: "first")
    registry.job("test.other")(lambda: "other")
    async with open_harness(registry) as harness:
        other = await harness.enqueue(type="test.other")
        job_id = await harness.enqueue()
        worker = harness.start()
        assert result_of(await harness.reaches(job_id)) == "first"
        view = (await harness.reaches(other)).view
        assert (view.state, view.reason) == (State.DEAD, "error")
        assert len(worker.in_flight) == 0


async def test_a_task_that_is_cancelled_before_its_first_step_reports_its_end_once() -> None:
    reports: list[object] = []

    async def run() -> None:
        reports.append("run")

    task = RunTask(run(), loop=asyncio.get_running_loop())
    task.report = lambda result, error: reports.append(type(error))
    task.cancel()
    task.cancel()
    await asyncio.wait({task})
    assert reports == [asyncio.CancelledError]


async def test_context_variables_of_a_job_are_not_seen_by_the_next_one(
    open_harness: HarnessMaker,
) -> None:
    seen: ContextVar[str] = ContextVar("seen", default="nothing")
    found = []

    async def handler() -> None:
        found.append(seen.get())
        seen.set("something")

    async with open_harness(registry_of(handler)) as harness:
        ids = [await harness.enqueue() for _ in range(20)]
        harness.start(slots=1)
        for job_id in ids:
            await harness.reaches(job_id)
    assert found == ["nothing"] * 20


async def test_a_job_that_prints_by_click_completes_and_its_words_are_kept(
    open_harness: HarnessMaker,
) -> None:
    def handler() -> str:
        click.echo("from click")
        click.echo(b"in bytes")
        return "done"

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        detail = await harness.run()
        assert result_of(detail) == "done"
        assert detail.attempts[-1].log == "from click\nin bytes\n"
