"""The worker process of a benchmark, and the CPU time that it and its children have used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from hms_svc.domain.errors import Outage
from hms_svc.settings import Settings, child_environment

STOP_SECONDS: Final = 15.0
_PROC: Final = Path("/proc")


class WorkerProcess:
    """`hms-svc serve` with one worker process, without HTTP, for some types."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors

    def check_alive(self) -> None:
        """Raise Outage with what it printed last if it has ended."""
        if (code := self._process.poll()) is not None:
            self._errors.seek(0)
            printed = self._errors.read().decode(errors="replace").strip().splitlines()
            said = f": {printed[-1]}" if printed else ""
            raise Outage(f"the worker of the benchmark ended with exit code {code}{said}")

    def cpu_seconds(self) -> float | None:
        """Return the CPU time of the process and of its children; None where the system does not report it."""
        if not _PROC.joinpath("self/stat").exists():
            return None
        ticks = sum(map(_ticks, family(self._process.pid)))
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Stop it, after a while by force."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def worker_process(settings: Settings, types: tuple[str, ...]) -> Iterator[WorkerProcess]:
    """Start a worker process with these settings; it is stopped at the end of the block.

    It also ends when this process is killed: it sees that the socket between them is closed.
    """
    import socket
    import tempfile

    ours, theirs = socket.socketpair()

    command = [
        sys.executable,
        "-P",
        "-m",
        "hms_svc",
        "serve",
        "--no-http",
        "--types",
        ",".join(types),
        "--owner",
        str(theirs.fileno()),
    ]
    with ours, tempfile.TemporaryFile() as errors:
        with theirs:
            process = subprocess.Popen(
                command,
                env=child_environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        worker = WorkerProcess(process, errors)
        try:
            yield worker
        finally:
            worker.stop()


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for task in _PROC.joinpath(str(pid), "task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            found += family(int(child))
    return found


def _ticks(pid: int) -> int:
    try:
        fields = _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
