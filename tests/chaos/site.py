"""A folder with the files of one hms-svc, real processes on it, and a view from outside."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.005
QUEUED, PROCESSING, COMPLETED, REJECTED, DEAD = 2, 4, 6, 7, 8


def wait_until(what: str, holds: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Look again and again until a condition holds; say what was waited for where it never does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(LOOK_SECONDS)


class Served:
    """One `hms-svc serve` with all its processes, which share a session of their own."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def members(self) -> list[int]:
        """Give the pids of the supervisor (first) and its children that live."""
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
        """SIGSTOP every worker outside of any transaction: its lock files are held meanwhile."""
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
        """Give the states, as the kernel abbreviates them, of the workers' threads."""
        tasks = [task for pid in self.workers() for task in Path(f"/proc/{pid}/task").iterdir()]
        return {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks}

    def wait_until(self, what: str, holds: Callable[[], object]) -> None:
        """Wait for what this service is to do, as long as it runs."""
        wait_until(what, lambda: holds() or self.process.poll() is not None)
        assert holds(), f"{what}: but the service ended:\n{self.log.read_text()}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor, which has it when this returns."""
        self.process.send_signal(number)
        wait_until("the signal is taken", lambda: not self._pending(number))

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

    def answer(self) -> None:
        """Wait until everything asked for has been acknowledged."""
        assert self.process.stdout is not None
        while self._asked:
            assert self.process.stdout.readline(), "the producer ended before its time"
            self._asked -= 1

    def close(self) -> None:
        assert self.process.stdin is not None
        self.answer()
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_SECONDS) == 0

    def abandon(self) -> None:
        """End the process, whatever it is at, and close both pipes."""
        self.process.kill()
        with self.process:
            pass


class Site:
    """The harness of one test. All that it starts has ended after `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "acknowledged.txt"
        self.queue_file = folder / "queue.db"
        self.cases_file = folder / "cases.db"
        self.all_served: list[Served] = []
        self._producers: list[Producer] = []

    def environment(self, **settings: object) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
        ours = {"lease_seconds": 2, "grace_seconds": 5, "data_dir": self.folder, **settings}
        named = {f"HMS_SVC_{name.upper()}": str(value) for name, value in ours.items()}
        return {**kept, "PYTHONPATH": str(ROOT), "HMS_SVC_CONFIG": "", **named}

    def serve(self, *arguments: str, **settings: object) -> Served:
        """Start `hms-svc serve`; settings go into its environment."""
        log = self.folder / f"serve-{len(self.all_served)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "hms_svc", "serve", "--no-http", *arguments],
                env=self.environment(**settings),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        served = Served(process, log)
        self.all_served.append(served)
        return served

    def drain(self, *arguments: str, seconds: float = PATIENCE_SECONDS, **settings: object) -> None:
        """Run `serve --drain` to its end."""
        served = self.serve("--drain", *arguments, **settings)
        code = served.wait(seconds)
        assert code == 0, f"serve --drain ended with {code}:\n{served.log.read_text()}"

    def producer(self, kind: str) -> Producer:
        """Start a producer of jobs of one kind, see `producer.py`."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.producer", str(self.journal), kind],
            env=self.environment(),
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._producers.append(Producer(process))
        return self._producers[-1]

    def enqueue(self, kind: str, jobs: int) -> None:
        """Have so many jobs acknowledged."""
        producer = self.producer(kind)
        producer.ask(jobs)
        producer.close()

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read the queue file; nothing where it is not there yet."""
        return read_rows(self.queue_file, statement, parameters)

    def count(self, state: int, type: str = "%") -> int:
        found = self.rows(
            "SELECT count(*) FROM jobs JOIN queues USING (queue) WHERE state = ? AND type LIKE ?",
            state,
            type,
        )
        return int(found[0][0]) if found else 0

    def in_hands(self, served: Served) -> int:
        """Count the jobs that processes of this service hold: their names carry its pid."""
        statement = "SELECT count(*) FROM jobs WHERE state = 4 AND worker LIKE ?"
        found = self.rows(statement, f"%-{served.process.pid}-%")
        return int(found[0][0]) if found else 0

    def live_workers(self) -> int:
        """Count the workers that have shown themselves in the register."""
        return len(self.rows("SELECT id FROM workers"))

    def stop(self) -> None:
        """End every service that runs with SIGTERM, as it should end."""
        running = [served for served in self.all_served if served.process.poll() is None]
        for served in running:
            served.send(signal.SIGTERM)
        for served in running:
            assert served.wait() == 0, served.log.read_text()

    def close(self) -> None:
        for served in self.all_served:
            served.kill()
        for producer in self._producers:
            producer.abandon()


def read_rows(path: Path, statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
    """Run one reading statement over a file, as a stranger would."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(statement, parameters).fetchall()
    except sqlite3.OperationalError as error:
        if "unable to open" in str(error) or "no such table" in str(error):
            return []
        raise


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
