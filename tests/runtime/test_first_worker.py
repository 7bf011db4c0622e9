"""The first worker of `serve` loads its modules while the command reads its settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hms_svc.processes import first_worker
from hms_svc.processes.child_spec import ChildSpec
from hms_svc.processes.first_worker import (
    FirstWorker,
    discard_first_worker,
    start_first_worker,
    take_first_worker,
)
from hms_svc.processes.supervisor import DONE, READY
from tests.support.waiting import PATIENCE_SECONDS, wait_until

SPEC = msgspec.json.encode(ChildSpec(drain=True, worker_id="first-1"))
SUPERVISE = """
import os, signal, sys
from hms_svc.processes import first_worker
from hms_svc.processes.child_spec import ChildSpec
from hms_svc.processes.first_worker import start_first_worker, take_first_worker
from hms_svc.processes.supervisor import Supervisor
from hms_svc.settings import load_settings

start_first_worker()
first = take_first_worker()
os.kill(first.pid, signal.SIGKILL)
os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
sys.exit(Supervisor(load_settings().settings, [ChildSpec(drain=True)], first=first).run())
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
    return {**kept, "HMS_SVC_CONFIG": "", "HMS_SVC_DATA_DIR": str(tmp_path)}


@pytest.fixture
def first() -> Iterator[FirstWorker]:
    start_first_worker()
    worker = take_first_worker()
    assert worker is not None
    with worker.line:
        yield worker
        worker.kill()
        wait_until("the worker has ended", lambda: worker.poll() is not None)


def test_it_works_with_the_settings_that_are_passed_to_it(
    first: FirstWorker, environment: dict[str, str], tmp_path: Path
) -> None:
    assert first.begin({**environment, "ODD": "\udcff"}, SPEC, -1)
    first.line.setblocking(True)
    first.line.settimeout(PATIENCE_SECONDS)
    received = b""
    while piece := first.line.recv(64):
        received += piece
    wait_until("it has ended", lambda: first.poll() is not None)
    assert first.returncode == 0
    assert received.startswith(READY)
    assert received.endswith(DONE)
    assert (tmp_path / "queue.db").exists()


def test_it_ends_if_nothing_is_passed_to_it(first: FirstWorker) -> None:
    first.line.close()
    wait_until("it has ended", lambda: first.poll() is not None)
    assert first.returncode == 0


def test_a_discarded_one_has_ended() -> None:
    start_first_worker()
    pid = first_worker._started[0].pid
    discard_first_worker()
    assert take_first_worker() is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_another_worker_is_started_if_it_was_killed(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(" serves ") == 1


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--app", "no.such:registry"]])
def test_a_wrong_command_line_leaves_no_worker_behind(
    arguments: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "hms_svc", "serve", *arguments],
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    _, complaint = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 2
    assert b"Traceback" not in complaint
    running = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    assert not [pid for pid in running if _is_in(process.pid, int(pid))]
    assert not (tmp_path / "queue.db").exists()


def _is_in(session: int, pid: int) -> bool:
    try:
        return os.getsid(pid) == session
    except ProcessLookupError:
        return False
