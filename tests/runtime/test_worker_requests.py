"""Workers that operators let be quiet, resume and stop: in this process, beside a console, and under `serve`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import WorkerRequest, WorkerState, WorkerView
from hms_svc.ports.broker import ClaimRequest
from hms_svc.processes.embedded import ProcessWorkers, ThreadWorkers
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob
from hms_svc.settings import Settings, load_settings
from tests.support.waiting import PATIENCE_SECONDS, until
from tests.support.worker import HarnessMaker, WorkerHarness, on_embedded_first, registry_of

ROOT = Path(__file__).resolve().parents[2]
APP = "tests.runtime.embedded_app:app"
QUIET, WORKING, STOPPING = WorkerState.QUIET, WorkerState.WORKING, WorkerState.STOPPING


async def ask(harness: WorkerHarness, worker_id: str, state: WorkerState) -> None:
    request = WorkerRequest(state, "ravi", "", harness.engines.clock.now_ms())
    assert await harness.engines.control.ask_worker(worker_id, request)


async def workers_until(
    harness: WorkerHarness, what: str, holds: Callable[[list[WorkerView]], object]
) -> list[WorkerView]:
    found: list[WorkerView] = []

    async def does_hold() -> object:
        nonlocal found
        found = await harness.engines.inspection.workers()
        return holds(found)

    await until(what, does_hold, found=lambda: found)
    return found


def only_is(state: WorkerState) -> Callable[[list[WorkerView]], bool]:
    return lambda found: [each.state for each in found] == [state]


async def test_a_quiet_worker_finishes_what_is_in_hand_and_claims_again_when_it_is_resumed(
    open_harness: HarnessMaker,
) -> None:
    go_on = asyncio.Event()

    async def handler(job: RunningJob) -> None:
        if job.data.get("waits"):
            await go_on.wait()

    async with open_harness(registry_of(handler)) as harness:
        worker = harness.start()
        first = await harness.enqueue({"waits": True})
        await harness.reaches(first, State.PROCESSING)
        await ask(harness, worker._options.worker_id, QUIET)
        await workers_until(harness, "it is quiet", only_is(QUIET))
        second = await harness.enqueue()
        go_on.set()
        await harness.reaches(first, State.COMPLETED)
        [queue] = await harness.engines.inspection.queues(["test.job"])
        assert (queue.served, queue.quiet_workers, queue.counts.queued) == (False, 1, 1)
        await ask(harness, worker._options.worker_id, WORKING)
        await harness.reaches(second, State.COMPLETED)
        await workers_until(harness, "it works", only_is(WORKING))


async def test_an_idle_worker_that_is_quiet_is_woken_by_no_job(open_harness: HarnessMaker) -> None:
    async with open_harness(registry_of(lambda job: None)) as harness:
        worker = harness.start()
        assert (await harness.run()).view.state is State.COMPLETED
        await ask(harness, worker._options.worker_id, QUIET)
        await workers_until(harness, "it is quiet", only_is(QUIET))
        other = harness.start()
        assert (await harness.run()).attempts[-1].worker == other._options.worker_id


async def test_a_worker_that_gets_quiet_while_it_claims_does_not_wait_for_work(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_harness(registry_of(lambda job: None)) as harness:
        claim, is_quiet = harness.engines.broker.claim, asyncio.Event()

        async def claim_meanwhile(request: ClaimRequest) -> list[ClaimedJob]:
            claimed = await claim(request)
            await ask(harness, worker._options.worker_id, QUIET)
            await workers_until(harness, "it is quiet", only_is(QUIET))
            is_quiet.set()
            return claimed

        monkeypatch.setattr(harness.engines.broker, "claim", claim_meanwhile)
        worker = harness.start()
        await is_quiet.wait()
        await workers_until(harness, "its claim has come", only_is(QUIET))
        assert "wait-for-work" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_worker_that_is_stopped_finishes_what_is_in_hand(
    open_harness: HarnessMaker,
) -> None:
    go_on = asyncio.Event()

    async def handler(job: RunningJob) -> None:
        await go_on.wait()

    async with open_harness(registry_of(handler)) as harness:
        worker = harness.start()
        job_id = await harness.enqueue()
        await harness.reaches(job_id, State.PROCESSING)
        await ask(harness, worker._options.worker_id, STOPPING)
        await workers_until(harness, "it stops", only_is(STOPPING))
        go_on.set()
        await harness.ended(worker)
        assert worker.is_dismissed
        assert (await harness.detail(job_id)).view.state is State.COMPLETED
        assert await harness.engines.inspection.workers() == []


@asynccontextmanager
async def service(settings: Settings, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `hms-svc serve` on the engines of the floor; it has ended when the block ends."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
    environment = {
        **kept,
        "PYTHONPATH": str(ROOT),
        "HMS_SVC_CONFIG": "",
        "HMS_SVC_APP": APP,
        "HMS_SVC_DATA_DIR": str(settings.data_dir),
        "HMS_SVC_BROKER_URL": settings.broker_url,
    }
    command = [sys.executable, "-m", "hms_svc", "serve", "--no-http", *arguments]
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


@on_embedded_first
async def test_a_service_does_not_replace_a_worker_that_an_operator_stops_and_ends_with_its_last(
    open_harness: HarnessMaker,
) -> None:
    async with (
        open_harness(Registry()) as harness,
        service(harness.settings, "--processes", "2") as one,
    ):
        first, second = await workers_until(
            harness, "both are there", lambda found: len(found) == 2
        )
        await ask(harness, first.id, QUIET)
        await workers_until(
            harness,
            "one is quiet",
            lambda found: {each.state for each in found} == {QUIET, WORKING},
        )
        job = await harness.reaches(await harness.enqueue(type="embedded.pid"))
        assert job.attempts[-1].worker == second.id
        await ask(harness, first.id, STOPPING)
        await workers_until(
            harness, "one is left", lambda found: [each.id for each in found] == [second.id]
        )
        await harness.reaches(await harness.enqueue(type="embedded.pid"))
        assert [each.id for each in await harness.engines.inspection.workers()] == [second.id]
        await ask(harness, second.id, STOPPING)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await one.wait() == 0
        assert await harness.engines.inspection.workers() == []


@on_embedded_first
async def test_what_is_wanted_of_a_worker_that_dies_is_wanted_of_the_one_in_its_place(
    open_harness: HarnessMaker,
) -> None:
    async with (
        open_harness(Registry()) as harness,
        service(harness.settings, "--processes", "1") as one,
    ):
        [first] = await workers_until(harness, "it is there", only_is(WORKING))
        await ask(harness, first.id, QUIET)
        [seen] = await workers_until(harness, "it is quiet", only_is(QUIET))
        os.kill(first.pid, signal.SIGKILL)
        [second] = await workers_until(
            harness,
            "another has the request",
            lambda found: [each.request for each in found if each.id != first.id] == [seen.request],
        )
        assert second.state is QUIET
        one.send_signal(signal.SIGSTOP)
        os.kill(second.pid, signal.SIGKILL)
        await ask(harness, second.id, STOPPING)
        one.send_signal(signal.SIGCONT)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await one.wait() == 0
        assert await harness.engines.inspection.workers() == []


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", [ThreadWorkers, ProcessWorkers])
async def test_the_workers_beside_a_console_end_when_an_operator_stops_them(
    open_harness: HarnessMaker, kind: type[ThreadWorkers | ProcessWorkers]
) -> None:
    async with open_harness(Registry()) as harness:
        given = {
            "data_dir": str(harness.settings.data_dir),
            "broker_url": harness.settings.broker_url,
        }
        settings = load_settings({**given, "app": (APP,)}, environ={"HMS_SVC_CONFIG": ""}).settings
        workers = kind(settings)
        workers.start()
        [only] = await workers_until(harness, "it is there", lambda found: len(found) == 1)
        await ask(harness, only.id, STOPPING)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await workers.wait_stopped()
        assert workers.state == "stopped by an operator"
        assert await harness.engines.inspection.workers() == []
