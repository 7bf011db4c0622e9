"""Standard streams that are closed or full: commands do their work, and say what they can."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import ROOT, environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.interop
JOB = '{"type": "crew.notify", "data": {"case_id": "case-1"}}'


def shell(
    folder: Path, script: str, *, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, in which $H is hms-svc."""
    command = f"H='{sys.executable} -P -m hms_svc'; {script}"
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **environment(folder / "data"), "PYTHONPATH": str(ROOT)},
        timeout=100,
        check=False,
    )


def jobs(folder: Path) -> list[dict[str, str]]:
    listed = shell(folder, "$H jobs list --json").stdout
    return [json.loads(line) for line in listed.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job.json").write_text(JOB)
    return tmp_path


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_what_is_accepted_ends_with_0_whatever_is_closed(folder: Path, closed: str) -> None:
    done = shell(folder, f"$H enqueue --no-check job.json {closed}")
    assert (done.returncode, done.stderr) == (0, "")
    assert [job["state"] for job in jobs(folder)] == ["queued"]


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("$H enqueue -", 2, "standard input:1: empty: expected a JSON value"),
        ("$H jobs edit ID", 2, "jobs edit requires --data FILE or --set path=value"),
        ("$H jobs edit ID --data -", 2, "standard input"),
        ("$H queues purge crew.notify", 0, ""),
        ("$H jobs discard --where state:queued", 0, ""),
        ("$H", 2, "terminal"),
    ],
)
def test_a_closed_standard_input_is_an_empty_one(
    folder: Path, command: str, code: int, words: str
) -> None:
    job_id = json.loads(shell(folder, "$H enqueue --no-check --json job.json").stdout)["id"]
    done = shell(folder, f"{command.replace('ID', job_id)} <&-")
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_full_standard_output_is_told_in_one_line(folder: Path, buffered: str) -> None:
    done = shell(folder, f"PYTHONUNBUFFERED={buffered} $H enqueue --no-check job.json >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "hms-svc: output cannot be written: No space left on device\n"
    assert len(jobs(folder)) == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_serve_works_whatever_is_closed(folder: Path, closed: str) -> None:
    shell(folder, "$H enqueue --no-check job.json")
    done = shell(folder, f"$H serve --drain {closed}")
    assert done.returncode == 0, done.stderr
    assert [job["state"] for job in jobs(folder)] == ["completed"]


def test_a_closed_stream_is_not_given_to_a_file_of_ours(folder: Path) -> None:
    service = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {sys.executable} -P -m hms_svc serve --no-http <&- >&- 2>&-"],
        env={**os.environ, **environment(folder / "data"), "PYTHONPATH": str(ROOT)},
    )
    try:
        wait_until("it works", lambda: '"pid"' in shell(folder, "$H workers --json").stdout)
        opened = [Path(f"/proc/{service.pid}/fd/{each}").resolve() for each in range(3)]
        assert opened == [Path("/dev/null")] * 3
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0
