"""Real processes of hms-svc: one that serves, and one that produces."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.support.waiting import PATIENCE_SECONDS, wait_until

_FENCED: Final = re.compile(r"job (\S+): (?:not settled, because|the lease is lost)")


class Served:
    """One `hms-svc serve` with all its processes, which share a session of their own."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def members(self) -> list[int]:
        """Return the pids of the supervisor (first) and its children that live."""
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
        """Return the jobs that the workers were told they had lost."""
        return set(_FENCED.findall(self.log.read_text()))

    def wait_until(
        self, what: str, holds: Callable[[], object], seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait for what this service is to do, as long as it runs."""
        held = False

        def is_over() -> bool:
            nonlocal held
            held = bool(holds())
            return held or self.process.poll() is not None

        wait_until(what, is_over, seconds)
        ended = f"but the service ended with {self.process.poll()}"
        assert held or holds(), f"{what}: {ended}:\n{self.log.read_text()}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor, which has it, or has ended, when this returns."""
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
        """Wait for the supervisor's end; gives its exit code."""
        return self.process.wait(seconds)

    def _is_member(self, entry: Path) -> bool:
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        return fields[0] != "Z" and int(fields[3]) == self.process.pid


class Producer:
    """A process of its own that enqueues, and journals an id after its acknowledgement."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._asked = 0

    def ask(self, jobs: int) -> None:
        """Let it enqueue so many more, and go on without waiting."""
        assert self.process.stdin is not None
        self._asked += 1
        self.process.stdin.write(f"{jobs}\n")
        self.process.stdin.flush()

    def answer(self) -> int:
        """Wait until everything asked for has been answered; gives how often the answer was no."""
        assert self.process.stdout is not None
        refused = 0
        while self._asked:
            said = self.process.stdout.readline()
            assert said, "the producer ended before its time"
            refused += said == "refused\n"
            self._asked -= 1
        return refused

    def close(self) -> None:
        """Let it end once all it was asked for is accepted."""
        assert self.process.stdin is not None
        assert not self.answer(), "what this producer handed in was refused"
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_SECONDS) == 0

    def abandon(self) -> None:
        """End the process, whatever it is at, and close both pipes."""
        self.process.kill()
        with self.process:
            pass


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
