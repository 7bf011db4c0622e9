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
from hms_svc.domain.views import WorkerState, WorkerView, WorkerWish
from hms_svc.embedded import ProcessWorkers, ThreadWorkers
from hms_svc.handling.context import RunningJob
from hms_svc.handling.registry import Registry
from hms_svc.ports.broker import ClaimRequest
from hms_svc.settings import Settings, load_settings
from tests.runtime.conftest import PATIENCE_SECONDS, Floor, FloorMaker, registry_of

ROOT = Path(__file__).resolve().parents[2]
APP = "tests.runtime.embedded_app:app"
QUIET, WORKING, STOPPING = WorkerState.QUIET, WorkerState.WORKING, WorkerState.STOPPING


async def ask(floor: Floor, worker_id: str, state: WorkerState) -> None:
    wish = WorkerWish(state, "ravi", "", floor.engines.clock.now_ms())
    assert await floor.engines.control.ask_worker(worker_id, wish)


async def workers_until(
    floor: Floor, what: str, holds: Callable[[list[WorkerView]], object]
) -> list[WorkerView]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds(found := await floor.engines.inspection.workers()):  # noqa: ASYNC110 - what it waits for rings no bell
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what}: {found}") from None
    return found


def only_is(state: WorkerState) -> Callable[[list[WorkerView]], bool]:
    return lambda found: [each.state for each in found] == [state]


async def test_a_quiet_worker_finishes_what_is_in_hand_and_claims_again_when_it_is_resumed(
    open_floor: FloorMaker,
) -> None:
    go_on = asyncio.Event()

    async def handler(job: RunningJob) -> None:
        if job.data.get("waits"):
            await go_on.wait()

    async with open_floor(registry_of(handler)) as floor:
        worker = floor.start()
        first = await floor.enqueue({"waits": True})
        await floor.reaches(first, State.PROCESSING)
        await ask(floor, worker._options.worker_id, QUIET)
        await workers_until(floor, "it is quiet", only_is(QUIET))
        second = await floor.enqueue()
        go_on.set()
        await floor.reaches(first, State.COMPLETED)
        [queue] = await floor.engines.inspection.queues(["test.job"])
        assert (queue.served, queue.quiet_workers, queue.counts.queued) == (False, 1, 1)
        await ask(floor, worker._options.worker_id, WORKING)
        await floor.reaches(second, State.COMPLETED)
        await workers_until(floor, "it works", only_is(WORKING))


async def test_an_idle_worker_that_is_quiet_is_woken_by_no_job(open_floor: FloorMaker) -> None:
    async with open_floor(registry_of(lambda job: None)) as floor:
        worker = floor.start()
        assert (await floor.run()).view.state is State.COMPLETED
        await ask(floor, worker._options.worker_id, QUIET)
        await workers_until(floor, "it is quiet", only_is(QUIET))
        other = floor.start()
        assert (await floor.run()).attempts[-1].worker == other._options.worker_id


async def test_a_worker_that_gets_quiet_while_it_claims_does_not_wait_for_work(
    open_floor: FloorMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_floor(registry_of(lambda job: None)) as floor:
        claim, is_quiet = floor.engines.broker.claim, asyncio.Event()

        async def claim_meanwhile(request: ClaimRequest) -> list[ClaimedJob]:
            claimed = await claim(request)
            await ask(floor, worker._options.worker_id, QUIET)
            await workers_until(floor, "it is quiet", only_is(QUIET))
            is_quiet.set()
            return claimed

        monkeypatch.setattr(floor.engines.broker, "claim", claim_meanwhile)
        worker = floor.start()
        await is_quiet.wait()
        await workers_until(floor, "its claim has come", only_is(QUIET))
        assert "wait-for-work" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_worker_that_is_stopped_finishes_what_is_in_hand(open_floor: FloorMaker) -> None:
    go_on = asyncio.Event()

    async def handler(job: RunningJob) -> None:
        await go_on.wait()

    async with open_floor(registry_of(handler)) as floor:
        worker = floor.start()
        job_id = await floor.enqueue()
        await floor.reaches(job_id, State.PROCESSING)
        await ask(floor, worker._options.worker_id, STOPPING)
        await workers_until(floor, "it stops", only_is(STOPPING))
        go_on.set()
        await floor.ended(worker)
        assert worker.is_dismissed
        assert (await floor.detail(job_id)).view.state is State.COMPLETED
        assert await floor.engines.inspection.workers() == []


@asynccontextmanager
async def service(settings: Settings, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `hms-svc serve` on the engines of the floor; it has ended when the block ends."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
    environment = {
        **kept, "PYTHONPATH": str(ROOT), "HMS_SVC_CONFIG": "", "HMS_SVC_APP": APP,
        "HMS_SVC_DATA_DIR": str(settings.data_dir), "HMS_SVC_BROKER_URL": settings.broker_url,
    }  # fmt: skip
    command = [sys.executable, "-m", "hms_svc", "serve", "--no-http", *arguments]
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def test_a_service_does_not_replace_a_worker_that_an_operator_stops_and_ends_with_its_last(
    open_floor: FloorMaker,
) -> None:
    async with open_floor(Registry()) as floor, service(floor.settings, "--processes", "2") as one:
        first, second = await workers_until(floor, "both are there", lambda found: len(found) == 2)
        await ask(floor, first.id, QUIET)
        await workers_until(
            floor, "one is quiet", lambda found: {each.state for each in found} == {QUIET, WORKING}
        )
        job = await floor.reaches(await floor.enqueue(type="embedded.pid"))
        assert job.attempts[-1].worker == second.id
        await ask(floor, first.id, STOPPING)
        await workers_until(
            floor, "one is left", lambda found: [each.id for each in found] == [second.id]
        )
        await floor.reaches(await floor.enqueue(type="embedded.pid"))
        assert [each.id for each in await floor.engines.inspection.workers()] == [second.id]
        await ask(floor, second.id, STOPPING)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await one.wait() == 0
        assert await floor.engines.inspection.workers() == []


async def test_what_is_wanted_of_a_worker_that_dies_is_wanted_of_the_one_in_its_place(
    open_floor: FloorMaker,
) -> None:
    async with open_floor(Registry()) as floor, service(floor.settings, "--processes", "1") as one:
        [first] = await workers_until(floor, "it is there", only_is(WORKING))
        await ask(floor, first.id, QUIET)
        [seen] = await workers_until(floor, "it is quiet", only_is(QUIET))
        os.kill(first.pid, signal.SIGKILL)
        [second] = await workers_until(
            floor, "another has the wish",
            lambda found: [each.wish for each in found if each.id != first.id] == [seen.wish],
        )  # fmt: skip
        assert second.state is QUIET
        one.send_signal(signal.SIGSTOP)
        os.kill(second.pid, signal.SIGKILL)
        await ask(floor, second.id, STOPPING)
        one.send_signal(signal.SIGCONT)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await one.wait() == 0
        assert await floor.engines.inspection.workers() == []


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", [ThreadWorkers, ProcessWorkers])
async def test_the_workers_beside_a_console_end_when_an_operator_stops_them(
    open_floor: FloorMaker, kind: type[ThreadWorkers | ProcessWorkers]
) -> None:
    async with open_floor(Registry()) as floor:
        given = {"data_dir": str(floor.settings.data_dir), "broker_url": floor.settings.broker_url}
        settings = load_settings({**given, "app": (APP,)}, environ={"HMS_SVC_CONFIG": ""}).settings
        workers = kind(settings)
        workers.start()
        [only] = await workers_until(floor, "it is there", lambda found: len(found) == 1)
        await ask(floor, only.id, STOPPING)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await workers.wait_stopped()
        assert workers.state == "stopped by an operator"
        assert await floor.engines.inspection.workers() == []
