"""What `serve` checks before anything starts, and what it logs."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from hms_svc.processes.supervisor import READY, STOP, end_text, stop_reason
from tests.support.command_line import environment, find, make_cli
from tests.support.serve_process import Served
from tests.support.waiting import PATIENCE_SECONDS

ANY_PORT = ("--http", "127.0.0.1:0")
LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)\n")


def start(tmp_path: Path, *arguments: str) -> Served:
    log = tmp_path / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "hms_svc", "serve", *arguments],
            env=os.environ | environment(tmp_path / "data"),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return Served(process, log)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ("nothing.*", "no type matches 'nothing.*'; the types are: analysis.run, "),
        ("crew.notfound", "no handler for type 'crew.notfound'; the types are: analysis.run, "),
        ("!*", "!* leaves no type to serve"),
    ],
)
def test_types_that_leave_nothing_to_serve_end_it_before_anything_starts(
    tmp_path: Path, types: str, message: str
) -> None:
    served = start(tmp_path, "--types", types, *ANY_PORT)
    try:
        assert served.wait(PATIENCE_SECONDS) == 2
    finally:
        served.kill()
    [line] = served.log.read_text().splitlines()
    assert line.startswith(f"hms-svc: {message}")
    assert not (tmp_path / "data").exists()


def test_the_port_that_was_bound_is_logged(tmp_path: Path) -> None:
    served = start(tmp_path, *ANY_PORT)
    try:
        served.wait_until("it listens", lambda: LISTENING.search(served.log.read_text()))
        found = LISTENING.search(served.log.read_text())
        assert found is not None
        with urlopen(f"http://127.0.0.1:{found[1]}/healthz", timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 200
    finally:
        served.kill()


def test_the_log_says_what_happened_after_a_kill_and_why_a_worker_stops(tmp_path: Path) -> None:
    served = start(tmp_path, "--no-http", "--concurrency", "2")

    def logged(pattern: str) -> re.Match[str] | None:
        return re.search(pattern, served.log.read_text())

    def wait_for(pattern: str) -> re.Match[str]:
        served.wait_until(f"{pattern} is logged", lambda: logged(pattern))
        found = logged(pattern)
        assert found is not None
        return found

    try:
        worker = wait_for(r"worker (\S+) serves .* with 2 slots\n")[1]
        cli = make_cli(tmp_path / "data")
        job = '{"type": "drill.run", "data": {"seconds": 600}, "id": "slow"}'
        cli("enqueue", "-", stdin=job)
        served.wait_until("it runs", lambda: find(cli, "id:slow")["state"] == "processing")
        [pid] = served.workers()
        os.kill(pid, signal.SIGKILL)
        wait_for(rf"worker process {pid} was ended by SIGKILL; starting another\n")
        wait_for(rf"worker {worker} has died; its jobs, whose leases are ended: 1\n")
        wait_for(r"jobs whose lease has ended: 1 to be repeated alone, 0 dead, 0 cancelled\n")
        wait_for(r"worker \S+ repeats jobs alone, after their worker died: .*drill\.run")
        assert logged("1 slots") is None
        served.send(signal.SIGTERM)
        wait_for(r"stopping: the supervisor received SIGTERM; jobs running: [01]\n")
    finally:
        served.kill()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "ended with 0"),
        (5, "ended with 5"),
        (-9, "was ended by SIGKILL"),
        (-11, "was ended by SIGSEGV"),
        (-63, "was ended by signal 63"),
    ],
)
def test_the_end_of_a_process_is_in_words(code: int, text: str) -> None:
    assert end_text(code) == text


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (READY, ""),
        (STOP, "the supervisor requested it"),
        (STOP + bytes([signal.SIGINT]), "the supervisor received SIGINT"),
        (b"", "the supervisor is gone"),
    ],
)
def test_a_child_knows_why_it_stops(sent: bytes, reason: str) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.send(sent)
        assert stop_reason(theirs.fileno()) == reason
