"""A process tree that is measured: its end, its CPU time, its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

TICK_SECONDS = 0.005
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Ended(NamedTuple):
    """How a process tree ended: exit code, and CPU seconds of all that it waited for."""

    code: int
    cpu_seconds: float


class Running:
    """One program in a session of its own; its output goes to a file."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log_file: Path
    ) -> None:
        self._log_file = log_file
        with log_file.open("ab") as log:
            self.started_ns = time.monotonic_ns()
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._ended: Ended | None = None

    def poll(self) -> Ended | None:
        """Return how it ended, None while it runs."""
        return self._ended or self._reap(os.WNOHANG)

    def _reap(self, options: int) -> Ended | None:
        pid, status, usage = os.wait4(self._process.pid, options)
        if pid:
            code = self._process.returncode = os.waitstatus_to_exitcode(status)
            self._ended = Ended(code, usage.ru_utime + usage.ru_stime)
        return self._ended

    def wait_until(self, what: str, reached: Callable[[], bool], seconds: float = 120.0) -> None:
        """Look every 5 ms; raises RuntimeError with the log's end where it ends or takes longer."""
        end = time.monotonic() + seconds
        while not reached():
            if self.poll() is not None or time.monotonic() > end:
                if reached():
                    return
                log = self._log_file.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"no {what}: {self._ended or f'{seconds:g} s are over'}\n{log}")
            time.sleep(TICK_SECONDS)

    def finish(self, seconds: float = 120.0) -> Ended:
        """Wait for the end; one with another exit code than 0 is a RuntimeError."""
        self.wait_until("end", lambda: self.poll() is not None, seconds)
        assert self._ended is not None
        if self._ended.code:
            log = self._log_file.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self._process.args!r} ended with {self._ended.code}\n{log}")
        return self._ended

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL to what is left of its session then or after ten seconds."""
        if self.poll() is None:
            self._process.terminate()
            end = time.monotonic() + 10
            while self.poll() is None and time.monotonic() < end:
                time.sleep(TICK_SECONDS)
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        if self._ended is None:
            self._reap(0)

    def pids(self) -> list[int]:
        """Return every living process of the session."""
        return [pid for pid, fields in _processes() if int(fields[3]) == self._process.pid]

    def cpu_seconds(self) -> float:
        """Return the CPU time of the living processes of the session so far."""
        ours = [fields for _, fields in _processes() if int(fields[3]) == self._process.pid]
        return sum(int(fields[11]) + int(fields[12]) for fields in ours) / _TICKS_A_SECOND

    def resident_mib(self) -> float:
        """Return the memory of the session: shared pages are divided among those that share them."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total / 1024


def _processes() -> list[tuple[int, list[str]]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            found.append((int(entry.name), text.rpartition(")")[2].split()))
    return [(pid, fields) for pid, fields in found if fields[0] != "Z"]
