"""Workers beside a console: on a thread of it or below it, ending with it, told from each other."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from hms_svc.domain.job import Lane
from hms_svc.domain.lifecycle import State
from hms_svc.ports.broker import ClaimRequest, ServedType
from hms_svc.processes.embedded import EmbeddedWorkers, ProcessWorkers, ThreadWorkers
from hms_svc.processes.supervisor import receive
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings, load_settings
from tests.support.waiting import PATIENCE_SECONDS, until
from tests.support.worker import HarnessMaker, WorkerHarness, result_of

APP = "tests.runtime.embedded_app:app"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    overrides = {"data_dir": tmp_path, "app": (APP,), "concurrency": 2, "grace_seconds": 20}
    return load_settings(overrides, environ={"HMS_SVC_CONFIG": ""}).settings


@pytest_asyncio.fixture
async def harness(open_harness: HarnessMaker) -> AsyncIterator[WorkerHarness]:
    async with open_harness(Registry()) as made:
        yield made


async def end(workers: EmbeddedWorkers) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await workers.wait_stopped()


@pytest.mark.parametrize("kind", [ThreadWorkers, ProcessWorkers])
async def test_they_work_where_they_were_put_and_stop_when_told(
    harness: WorkerHarness, settings: Settings, kind: type[EmbeddedWorkers]
) -> None:
    workers = kind(settings, ["embedded.pid"])
    workers.start()
    assert workers.state == "starting"
    detail = await harness.reaches(await harness.enqueue(type="embedded.pid"))
    result = result_of(detail)
    assert (result["pid"] == os.getpid()) is (kind is ThreadWorkers)
    assert detail.attempts[-1].log == "words of the handler\n"
    way = "thread" if kind is ThreadWorkers else "process"
    await until("their state is told", lambda: workers.state == f"2 slots, {way}")
    workers.stop()
    await end(workers)
    assert workers.state == "stopped"


@pytest.mark.parametrize("kind", [ThreadWorkers, ProcessWorkers])
async def test_they_open_resources_and_so_does_the_child_for_suspects(
    harness: WorkerHarness, settings: Settings, kind: type[EmbeddedWorkers]
) -> None:
    suspect = await harness.enqueue(type="embedded.resource")
    request = ClaimRequest("gone", (ServedType("embedded.resource", 20),), 1, 60_000)
    await harness.engines.broker.claim(request)
    await harness.engines.broker.abandon("gone")
    workers = kind(settings, ["embedded.resource"])
    workers.start()
    for uses in (1, 2):
        found = await harness.reaches(await harness.enqueue(type="embedded.resource"))
        assert result_of(found) == uses
    assert result_of(await harness.reaches(suspect)) == 1
    workers.stop()
    await end(workers)


AWAITED_APP = """
from pathlib import Path
from hms_svc import Registry

app = Registry()

@app.resource
def server() -> str:
    return Path({path!r}).read_text()

@app.job("awaited.job")
async def handle(job, server: str) -> str:
    return server
"""


async def test_they_wait_until_a_resource_can_be_opened(
    harness: WorkerHarness, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tmp_path / "server"
    (tmp_path / "awaited_app.py").write_text(AWAITED_APP.format(path=str(server)))
    monkeypatch.syspath_prepend(tmp_path)
    workers = ThreadWorkers(msgspec.structs.replace(settings, app=("awaited_app:app",)))
    workers.start()
    job_id = await harness.enqueue(type="awaited.job")
    words = "waiting for the application: "
    await until("their state is told", lambda: workers.state.startswith(words))
    assert "resource server could not be opened: FileNotFoundError" in workers.state
    server.write_text("it is there")
    assert result_of(await harness.reaches(job_id)) == "it is there"
    workers.stop()
    await end(workers)


SLOW_APP = """
import asyncio
from pathlib import Path
from hms_svc import Registry

app = Registry()

@app.resource
async def slow() -> None:
    Path({path!r}).touch()
    await asyncio.sleep(3600)

@app.job("slow.job")
async def handle() -> None: ...
"""


async def test_they_stop_at_once_while_a_resource_is_being_opened(
    harness: WorkerHarness, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = tmp_path / "opening"
    (tmp_path / "slow_app.py").write_text(SLOW_APP.format(path=str(opening)))
    monkeypatch.syspath_prepend(tmp_path)
    workers = ThreadWorkers(msgspec.structs.replace(settings, app=("slow_app:app",)))
    workers.start()
    await until("it is being opened", opening.exists)
    workers.stop()
    await end(workers)
    assert workers.state == "stopped"


async def test_a_suspect_runs_in_a_child_that_ends_with_them(
    harness: WorkerHarness, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hms_svc.runtime")
    job_id = await harness.enqueue(type="embedded.pid")
    request = ClaimRequest("gone", (ServedType("embedded.pid", 20),), 1, 60_000)
    await harness.engines.broker.claim(request)
    await harness.engines.broker.abandon("gone")
    workers = ThreadWorkers(settings, ["embedded.pid"])
    workers.start()
    detail = await harness.reaches(job_id)
    assert result_of(detail)["pid"] != os.getpid()
    workers.stop()
    await end(workers)
    lanes = [each.lane for each in await harness.engines.inspection.workers()]
    assert Lane.SUSPECT.value not in lanes
    ends = [each for each in caplog.records if "suspect lane ended" in each.message]
    assert [(each.levelno, each.args) for each in ends] == [(logging.INFO, ("ended with 0",))]


@pytest.mark.parametrize("kind", [ThreadWorkers, ProcessWorkers])
async def test_they_work_on_when_all_their_slots_hang(
    harness: WorkerHarness, settings: Settings, kind: type[EmbeddedWorkers]
) -> None:
    workers = kind(msgspec.structs.replace(settings, lease_seconds=1.0))
    workers.start()
    for _ in range(2):
        detail = await harness.reaches(await harness.enqueue(type="embedded.hang"))
        assert detail.view.reason == "timeout"
    result_of(await harness.reaches(await harness.enqueue(type="embedded.pid")))
    workers.stop()
    await end(workers)


def test_a_line_that_was_reset_has_ended() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.send(b"unread")
        theirs.close()
        assert receive(ours) == b""


async def test_a_second_stop_cancels_what_is_in_hand_and_gives_it_back(
    harness: WorkerHarness, settings: Settings
) -> None:
    workers = ThreadWorkers(settings, ["embedded.endless"])
    workers.start()
    job_id = await harness.enqueue(type="embedded.endless")
    await harness.reaches(job_id, State.PROCESSING)
    workers.stop()
    workers.stop()
    await end(workers)
    assert (await harness.detail(job_id)).view.state is State.QUEUED


def test_what_was_never_started_is_stopped_at_once(settings: Settings) -> None:
    workers = ThreadWorkers(settings)
    workers.stop()
    assert workers.join(0)


async def test_a_type_that_nobody_declared_is_told_in_their_state(settings: Settings) -> None:
    workers = ThreadWorkers(settings, ["no.such"])
    workers.start()
    await end(workers)
    assert workers.state.startswith("stopped: no handler for type 'no.such'")
