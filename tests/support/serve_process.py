"""Real processes of hms-svc: a service, and a producer."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.support.waiting import PATIENCE_SECONDS, wait_until

_FENCED: Final = re.compile(r"job (\S+): (?:not settled, because|the lease is lost)")


class Served:
    """One `hms-svc serve` with all its processes, in their own session."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def members(self) -> list[int]:
        """Return the pids of the supervisor (first) and its running children."""
        found = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        pids = [int(entry.name) for entry in found if self._is_member(entry)]
        return sorted(pids, key=lambda pid: (pid != self.process.pid, pid))

    def workers(self) -> list[int]:
        return [pid for pid in self.members() if pid != self.process.pid]

    def kill(self) -> None:
        """SIGKILL every process at once, supervisor first, until none is left."""
        while pids := self.members():
            for pid in pids:
                _signal(pid, signal.SIGKILL)
            self.process.poll()
        self.process.wait(PATIENCE_SECONDS)

    def freeze(self, *files: Path) -> None:
        """SIGSTOP every worker; outside of any transaction on these files, whose locks are held."""
        with ExitStack() as locks:
            for file in files:
                lock = locks.enter_context(open(f"{file}.lock", "rb"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            for pid in self.workers():
                os.kill(pid, signal.SIGSTOP)
            wait_until("all are stopped", lambda: self.states() == {"T"})

    def thaw(self) -> None:
        for pid in self.workers():
            os.kill(pid, signal.SIGCONT)

    def states(self) -> set[str]:
        """Return the states, as the kernel abbreviates them, of the workers' threads."""
        tasks = [task for pid in self.workers() for task in Path(f"/proc/{pid}/task").iterdir()]
        return {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks}

    def fenced(self) -> set[str]:
        """Return the jobs whose loss the workers logged."""
        return set(_FENCED.findall(self.log.read_text()))

    def wait_until(
        self, what: str, holds: Callable[[], object], seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait for a condition while this service runs."""
        held = False

        def is_over() -> bool:
            nonlocal held
            held = bool(holds())
            return held or self.process.poll() is not None

        wait_until(what, is_over, seconds)
        ended = f"but the service ended with {self.process.poll()}"
        assert held or holds(), f"{what}: {ended}:\n{self.log.read_text()}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor, and wait until it was received or the supervisor has ended."""
        self.process.send_signal(number)
        wait_until(
            "the signal is taken",
            lambda: self.process.poll() is not None or not self._pending(number),
        )

    def _pending(self, number: signal.Signals) -> bool:
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return False
        masks = [int(line.split()[1], 16) for line in status.splitlines() if "Pnd:" in line]
        return any(mask >> (number - 1) & 1 for mask in masks)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait until the supervisor has ended, and return its exit code."""
        return self.process.wait(seconds)

    def _is_member(self, entry: Path) -> bool:
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        return fields[0] != "Z" and int(fields[3]) == self.process.pid


class Producer:
    """A separate process that enqueues jobs, and writes each id to a journal once it is acknowledged."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._asked = 0

    def ask(self, jobs: int) -> None:
        """Request this many more jobs, without waiting for them."""
        assert self.process.stdin is not None
        self._asked += 1
        self.process.stdin.write(f"{jobs}\n")
        self.process.stdin.flush()

    def answer(self) -> int:
        """Wait until all requested jobs were answered, and return how many were refused."""
        assert self.process.stdout is not None
        refused = 0
        while self._asked:
            line = self.process.stdout.readline()
            assert line, "the producer ended before its time"
            refused += line == "refused\n"
            self._asked -= 1
        return refused

    def close(self) -> None:
        """Let the process end once all requested jobs are accepted."""
        assert self.process.stdin is not None
        assert not self.answer(), "what this producer handed in was refused"
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_SECONDS) == 0

    def abandon(self) -> None:
        """Kill the process, and close both pipes."""
        self.process.kill()
        with self.process:
            pass


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


@contextmanager
def serving(app: str, folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run `hms-svc serve` with an application while the block runs; it ends as it should. Its log is in the folder."""
    command = [sys.executable, "-m", "hms_svc", "serve", "--no-http", "--app", app]
    with (
        open(folder / "serve.log", "wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as serve,
    ):
        try:
            yield
        finally:
            serve.terminate()
            assert serve.wait(PATIENCE_SECONDS) == 0, (folder / "serve.log").read_text()
