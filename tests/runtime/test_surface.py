"""The Python surface, in processes of its own: the founding document's scripts, and its walls."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hms_svc import Job, RunningJob, aio, dao, events, gov
from hms_svc.api.portal import close as close_portal
from hms_svc.api.portal import on_portal, portal
from hms_svc.domain.errors import BadInput, WrongThread
from hms_svc.domain.event import service_event
from hms_svc.domain.lifecycle import State
from tests.support.worker import LAT, LON, PLACE, HarnessMaker, registry_of, result_of

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "tests" / "data"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
    ours = {"HMS_SVC_DATA_DIR": str(tmp_path), "HMS_SVC_CONFIG": "", "PYTHONPATH": str(ROOT)}
    return {**kept, **ours, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def own_portal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HMS_SVC_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HMS_SVC_CONFIG", "")
    close_portal()  # a test without a job may have opened one
    yield
    close_portal()


@pytest.mark.usefixtures("own_portal")
def test_enqueue_returns_the_state_of_the_job() -> None:
    first, second = (Job("x.y", {}, unique_key="k") for _ in range(2))
    later = Job("x.y", {}, delay=timedelta(hours=1))
    assert (first.enqueue(), second.enqueue(), later.enqueue()) == (
        "queued",
        "rejected",
        "scheduled",
    )
    assert Job.enqueue_all([first, second]) == ["queued", "rejected"]


@pytest.mark.usefixtures("own_portal")
async def test_awaited_enqueue_returns_the_state_of_the_job() -> None:
    first, second = (aio.Job("x.y", {}, unique_key="k") for _ in range(2))
    assert (await first.enqueue(), await second.enqueue()) == ("queued", "rejected")
    assert await aio.Job.enqueue_all([first, second]) == ["queued", "rejected"]


def run(script: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, SCRIPTS / script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_two_scripts_of_the_founding_document_run_unchanged(
    environment: dict[str, str],
) -> None:
    assert run("enqueue.py", environment).startswith("📨 job id: ")
    with subprocess.Popen(
        [sys.executable, SCRIPTS / "worker.py"], env=environment, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline().startswith("✅ stored as case-")
        run("enqueue.py", environment)
        status = [sys.executable, "-m", "hms_svc", "jobs", "list", "--json"]
        end = time.monotonic() + 30
        while b'"validate_dupe"' not in subprocess.check_output(status, env=environment):
            assert time.monotonic() < end, "the second report was not rejected"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0


BLOCKING: list[tuple[Any, str]] = [
    (lambda: Job("test.job", {}).enqueue(), "hms_svc.aio.Job.enqueue"),
    (lambda: Job.enqueue_all([]), "hms_svc.aio.Job.enqueue_all"),
    (lambda: dao.case_exists(1.0, 2.0), "hms_svc.aio.dao.case_exists"),
    (lambda: dao.insert_case({}), "hms_svc.aio.dao.insert_case"),
    (lambda: gov.vet("create_case", {}), "hms_svc.aio.gov.vet"),
    (lambda: events().__enter__(), "hms_svc.aio.events"),
]


@pytest.mark.parametrize(("call", "counterpart"), BLOCKING)
async def test_a_blocking_call_on_a_running_loop_names_its_counterpart(
    call: Any, counterpart: str
) -> None:
    with pytest.raises(WrongThread, match=f"await {counterpart} instead"):
        call()


async def test_a_blocking_call_in_an_async_handler_names_its_counterpart(
    open_harness: HarnessMaker,
) -> None:
    async def handler(job: RunningJob) -> str:
        with pytest.raises(WrongThread) as caught:
            dao.case_exists(1.0, 2.0)
        return str(caught.value)

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        assert "await hms_svc.aio.dao.case_exists" in result_of(await harness.run())


async def test_the_awaitable_surface_works_outside_of_jobs(own_portal: None) -> None:
    await aio.Job("test.job", {"n": 1}).enqueue()
    case = await aio.dao.insert_case(PLACE, key="by hand", kind="pothole")
    assert await aio.dao.outside.insert_case(PLACE, key="by hand", kind="pothole") == case
    assert await aio.dao.case_exists(LAT, LON)
    await aio.gov.vet("create_case", PLACE)
    await aio.gov.outside.vet("create_case", PLACE)
    with pytest.raises(BadInput, match="kind is missing"):
        await aio.dao.insert_case(PLACE)


async def test_the_awaitable_surface_follows_the_bus(own_portal: None) -> None:
    backend = await on_portal(portal().backend())
    async with aio.events() as later, aio.events(group="act", types="case.*") as stream:
        for name in ("audit.sealed", "case.opened"):
            await on_portal(backend.bus.publish([service_event("j", name, "", {}, 1)]))
        event = await anext(stream)
        await stream.acknowledge(event)
        assert (event.type, event.payload()) == ("case.opened", {})
        assert (await anext(later)).type == "audit.sealed"
    with pytest.raises(BadInput, match="a group has its own position"):
        async with aio.events(group="act", after=0):
            raise AssertionError


def test_the_blocking_surface_follows_the_bus(own_portal: None) -> None:
    backend = portal().submit(portal().backend()).result()
    with events(group="act") as stream:
        portal().submit(backend.bus.publish([service_event("j", "x", "", {}, 1)])).result()
        event = next(stream)
        stream.acknowledge(event)
        assert (event.type, event.subject) == ("x", "j")


def test_the_blocking_surface_works_outside_of_jobs(own_portal: None) -> None:
    Job("test.job", {"n": 1}).enqueue()
    case = dao.insert_case(PLACE, key="by hand", kind="pothole")
    assert dao.outside.insert_case(PLACE, key="by hand", kind="pothole") == case
    assert dao.case_exists(LAT, LON)
    gov.vet("create_case", PLACE)
    gov.outside.vet("create_case", PLACE)


async def test_a_handler_enqueues_over_its_workers_broker(open_harness: HarnessMaker) -> None:
    def follow(job: RunningJob) -> str:
        further = Job(type="after.that", data={"of": job.id})
        further.enqueue()
        return further.id

    async with open_harness(registry_of(follow)) as harness:
        harness.start()
        further = result_of(await harness.run())
        assert (await harness.detail(further)).view.state is State.QUEUED


def test_a_forked_child_enqueues_with_a_portal_of_its_own(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    script = tmp_path / "forks.py"
    script.write_text(
        "import os, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from hms_svc import Job\n"
        "Job(type='a.job', data=1).enqueue()\n"
        "child = os.fork()\n"
        "Job(type='a.job', data=2).enqueue()\n"
        "if child:\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "else:\n"
        "    os._exit(0)\n"
    )
    subprocess.run([sys.executable, script], env=environment, check=True, timeout=60)
    with sqlite3.connect(tmp_path / "queue.db") as queue:
        assert queue.execute("SELECT count(*) FROM jobs").fetchone() == (3,)
    queue.close()


def run_script(
    tmp_path: Path, environment: dict[str, str], text: str
) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(text)
    return subprocess.run(
        [sys.executable, script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "call",
    [
        "dao.case_exists(1.0, 2.0)",
        "gov.vet('create_case', {})",
        "Job(type='a.job', data=1).enqueue()",
    ],
)
def test_a_process_that_used_the_surface_ends_without_a_word(
    tmp_path: Path, environment: dict[str, str], call: str
) -> None:
    done = run_script(tmp_path, environment, f"from hms_svc import Job, dao, gov\n{call}\n")
    assert (done.returncode, done.stderr) == (0, "")


def test_after_close_the_next_call_takes_the_settings_of_that_moment(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    script = (
        "import asyncio, os, hms_svc\n"
        "from hms_svc import Job, aio\n"
        "hms_svc.close()\n"
        "for name, close in [('one', hms_svc.close), ('two', lambda: asyncio.run(aio.close()))]:\n"
        f"    os.environ['HMS_SVC_DATA_DIR'] = {str(tmp_path)!r} + '/' + name\n"
        "    Job(type='a.job', data=1).enqueue()\n"
        "    close()\n"
    )
    done = run_script(tmp_path, environment, script)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("one", "two"):
        with sqlite3.connect(tmp_path / name / "queue.db") as queue:
            assert queue.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
        queue.close()


def test_a_child_of_a_script_does_not_remove_its_memory_broker(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    script = (
        "import os, sys\n"
        "from hms_svc import Job\n"
        "Job(type='a.job', data=1).enqueue()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    sys.exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "Job(type='a.job', data=2).enqueue()\n"
    )
    done = run_script(tmp_path, {**environment, "HMS_SVC_BROKER_URL": "memory://"}, script)
    assert done.returncode == 0, done.stderr


def test_a_worker_of_a_script_ends_its_process_when_all_its_slots_hang(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    script = (
        "import threading\n"
        "from hms_svc import Job, Worker\n"
        "Job(type='a.job', data=1).enqueue()\n"
        "Worker(jobs='a.job').start(lambda job: threading.Event().wait())\n"
    )
    quick = {"JOB_TIMEOUT_SECONDS": "1", "CONCURRENCY": "1", "LEASE_SECONDS": "1"}
    given = {f"HMS_SVC_{name}": text for name, text in quick.items()}
    done = run_script(tmp_path, {**environment, **given}, script)
    assert done.returncode == 71, done.stderr
    assert "functions that do not return hold all slots that a.job may take" in done.stderr


def test_a_script_without_standard_streams_works(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal\n"
        "from hms_svc import Job, Worker\n"
        "Job(type='a.job', data=1).enqueue()\n"
        "def handler(job):\n"
        "    print('words')\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "Worker(jobs='a.job').start(handler)\n"
    )
    command = ["/bin/sh", "-c", f"exec {sys.executable} {script} <&- >&- 2>&-"]
    assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == 0
