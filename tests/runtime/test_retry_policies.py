"""Retry policies of real workers: classes of error, the time of a run, an own backoff, and operators after it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hms_svc import RetryPolicy, RunningJob, bootstrap
from hms_svc.domain.lifecycle import State
from hms_svc.operations.explanation import JobFacts, explain
from hms_svc.operations.service import make_operations
from hms_svc.operations.type_detail import settings_facts
from hms_svc.ports.control import Act, ActRequest
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings
from tests.support.worker import (
    TYPE,
    HarnessMaker,
    WorkerHarness,
    on_embedded_first,
    registry_of,
    result_of,
)

pytestmark = on_embedded_first
OUTCOMES_PAGE = Path(__file__).resolve().parents[2] / "docs" / "outcomes.md"


class Declined(Exception):
    """A payment that will never be accepted."""


class NoFunds(Declined):
    """Why."""


NEVER_AGAIN = RetryPolicy(8, give_up_on=(Declined,))


def declines(job: RunningJob) -> None:
    raise NoFunds("card 4711 has no funds")


async def declines_async(job: RunningJob) -> None:
    raise NoFunds("card 4711 has no funds")


def refuses_to_look(payload: Any) -> bool:
    raise NoFunds("card 4711 has no funds")


async def refuses_to_look_async(payload: Any) -> bool:
    raise NoFunds("card 4711 has no funds")


def does_nothing(job: RunningJob) -> None:
    pass


async def does_nothing_async(job: RunningJob) -> None:
    pass


@pytest.mark.parametrize(
    ("handler", "validators", "by"),
    [
        (declines, (), "declines"),
        (declines_async, (), "declines_async"),
        (does_nothing, (refuses_to_look,), "refuses_to_look"),
        (does_nothing, (refuses_to_look_async,), "refuses_to_look_async"),
        (does_nothing_async, (refuses_to_look,), "refuses_to_look"),
    ],
)
async def test_after_an_error_to_give_up_on_the_job_is_dead_at_once(
    open_harness: HarnessMaker, handler: Any, validators: Any, by: str
) -> None:
    registry = registry_of(handler, validators=validators, retry=NEVER_AGAIN)
    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run()
        view = detail.view
        assert (view.state, view.reason, view.by) == (State.DEAD, "given_up", by)
        failure = "NoFunds: card 4711 has no funds"
        assert view.detail == f"{failure} (attempt 1 of 8; give_up_on has Declined)"
        assert [each.error for each in detail.attempts] == [failure]
        why = explain(JobFacts(detail=detail, now_ms=view.finished_at or 0))
        assert f"its retry policy gave up on it: {view.detail}." in why
        [group] = await harness.engines.inspection.failures()
        assert (group.state, group.reason, group.error) == (State.DEAD, "given_up", "NoFunds")
        assert (group.pattern, group.newest_detail) == ("card # has no funds", view.detail)


async def test_an_operator_may_retry_such_a_job_and_undo_that(open_harness: HarnessMaker) -> None:
    declined = [True]

    def charge(job: RunningJob) -> str:
        if declined[0]:
            raise Declined("no")
        return "charged"

    async with open_harness(registry_of(charge, retry=NEVER_AGAIN)) as harness:
        worker = harness.start()
        job_id = (await harness.run()).view.id
        worker.stop()
        await harness.ended(worker)
        request = ActRequest(act=Act.RETRY, job_ids=(job_id,), by="ravi", batch="b1")
        assert [each.done for each in await harness.engines.control.act(request)] == [True]
        assert (await harness.detail(job_id)).view.state is State.QUEUED
        assert [each.done for each in await harness.engines.control.undo("b1")] == [True]
        view = (await harness.detail(job_id)).view
        assert (view.state, view.reason, view.attempt) == (State.DEAD, "given_up", 1)
        await harness.act(Act.RETRY, job_id)
        declined[0] = False
        harness.start()
        detail = await harness.reaches(job_id, State.COMPLETED)
        assert (result_of(detail), detail.view.attempt) == ("charged", 1)


async def test_the_time_of_a_run_begins_with_its_first_counted_attempt(
    open_harness: HarnessMaker,
) -> None:
    seen: list[tuple[int, int | None]] = []

    async def fails(job: RunningJob) -> None:
        seen.append((job.attempt, job.claimed.run_began_at))
        raise ConnectionError("busy")

    retry = RetryPolicy(8, backoff=(0, 0, 3600), within_seconds=600)
    async with open_harness(registry_of(fails, retry=retry)) as harness:
        harness.start()
        detail = await harness.run()
        view = detail.view
        assert (view.state, view.reason, view.attempt) == (State.DEAD, "given_up", 3)
        assert "s after the first, within_seconds is 600)" in view.detail
        assert [each.error for each in detail.attempts] == ["ConnectionError: busy"] * 3
        began = detail.attempts[0].started_at
        assert seen == [(1, None), (2, began), (3, began)]
        await harness.act(Act.RETRY, view.id)
        detail = await harness.reaches(view.id)
        assert (detail.view.reason, detail.view.attempt) == ("given_up", 3)
        began = detail.attempts[3].started_at
        assert seen[3:] == [(1, None), (2, began), (3, began)]


async def test_a_type_without_a_limit_reads_no_history(open_harness: HarnessMaker) -> None:
    seen: list[int | None] = []

    async def fails(job: RunningJob) -> None:
        seen.append(job.claimed.run_began_at)
        raise ConnectionError("busy")

    async with open_harness(registry_of(fails, retry=RetryPolicy(3, backoff=(0,)))) as harness:
        harness.start()
        assert (await harness.run()).view.reason == "error"
        assert seen == [None, None, None]


async def test_a_backoff_that_raises_hurts_its_own_job_only(open_harness: HarnessMaker) -> None:
    def raises(attempt: int, error: BaseException) -> float:
        raise LookupError("no such table")

    def fails(job: RunningJob) -> None:
        raise ConnectionError("busy")

    registry = Registry()
    registry.job(TYPE, retry=RetryPolicy(3, base_seconds=0, backoff=raises))(fails)
    registry.job("other.job")(does_nothing_async)
    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run()
        assert (detail.view.state, detail.view.reason) == (State.DEAD, "error")
        first, second, last = (each.error for each in detail.attempts)
        assert "raised LookupError: no such table: the delay is that of base_seconds" in first
        assert first == second
        assert last == "ConnectionError: busy"
        assert (await harness.run(type="other.job")).view.state is State.COMPLETED


async def test_the_example_of_the_document(open_harness: HarnessMaker) -> None:
    [example] = re.findall(r"```python\n(from .*?)```", OUTCOMES_PAGE.read_text(), re.DOTALL)
    written: dict[str, Any] = {}
    exec(compile(example, "outcomes.md", "exec", dont_inherit=True), written)
    charges = iter([TimeoutError("busy"), written["Declined"]("no funds")])
    written["charge_card"] = lambda payload: raise_next(charges)
    async with open_harness(written["registry"]) as harness:
        harness.start()
        detail = await harness.reaches(
            await harness.enqueue({"amount": 5}, type="fee.charge"), State.RETRYING
        )
        due_at, failed_at = detail.view.due_at or 0, detail.attempts[0].ended_at or 0
        assert (due_at - failed_at) // 1000 == 30
        await harness.act(Act.RETRY, detail.view.id)
        view = (await harness.reaches(detail.view.id)).view
        assert (view.state, view.reason) == (State.DEAD, "given_up")
        assert view.detail.startswith("Declined: no funds (attempt ")


def raise_next(errors: Iterator[Exception]) -> None:
    raise next(errors)


async def test_the_policy_and_the_version_of_a_type_are_shown(settings: Settings) -> None:
    registry = registry_of(
        declines,
        retry=RetryPolicy(
            8, give_up_on=(Declined,), retry_on=(OSError,), within_seconds=7200, backoff=(0.5, 60)
        ),
        version=2,
        upgrade={1: lambda data: data},
    )
    async with bootstrap.engines(settings, registry) as engines:
        harness = WorkerHarness(engines, settings)
        await harness.enqueue()
        operations = make_operations(
            settings,
            broker=engines.broker,
            inspection=engines.inspection,
            control=engines.control,
            bus=engines.bus,
            database=engines.database,
            registry=registry,
            policy=engines.policy,
        )
        facts = dict(settings_facts(await operations.types.detail(TYPE)))
    assert facts["attempts"].startswith("at most 8")
    assert facts["backoff"] == "0.5 s, 1 m; the last one repeats"
    assert facts["gives up on"] == "Declined"
    assert facts["retries only"] == "OSError"
    assert facts["retries within"] == "2 h of a run"
    assert facts["version"] == "2: older payloads are upgraded"
