"""A folder, a broker and a database of one hms-svc, real processes on them, and a view from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from hms_svc.domain.lifecycle import TERMINAL, State
from tests.chaos.checker import Report, check
from tests.chaos.views import JobRow, broker_view, database_view
from tests.support.serve_process import Producer, Served
from tests.support.waiting import PATIENCE_SECONDS, wait_until

ROOT: Final = Path(__file__).resolve().parents[2]


class Site:
    """The harness of one test. All that it starts has ended after `close`.

    Without addresses both are files in the folder. What is given to `serve` by
    name goes into its environment, and comes before what the site says.
    """

    def __init__(self, folder: Path, broker_url: str = "", database_url: str = "") -> None:
        self.folder = folder
        self.journal = folder / "acknowledged.txt"
        self.refusals = folder / "acknowledged.txt.refused"
        self.files = [folder / name for name in ("queue.db", "cases.db")]
        self.broker_url = broker_url or f"sqlite:///{self.files[0]}"
        self.database_url = database_url or f"sqlite:///{self.files[1]}"
        self.broker = broker_view(self.broker_url)
        self.database = database_view(self.database_url)
        self.all_served: list[Served] = []
        self._producers: list[Producer] = []

    def environment(self, **settings: object) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
        ours = {
            "lease_seconds": 2,
            "grace_seconds": 5,
            "data_dir": self.folder,
            "broker_url": self.broker_url,
            "database_url": self.database_url,
            **settings,
        }
        named = {f"HMS_SVC_{name.upper()}": str(value) for name, value in ours.items()}
        return {**kept, "PYTHONPATH": str(ROOT), "HMS_SVC_CONFIG": "", **named}

    def serve(
        self, *arguments: str, within: tuple[str, ...] = (), http: str = "", **settings: object
    ) -> Served:
        """Start `hms-svc serve`; `within` is a command that runs another one.

        It listens on HTTP only where `http` says where.
        """
        listening = ("--http", http) if http else ("--no-http",)
        log = self.folder / f"serve-{len(self.all_served)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*within, sys.executable, "-m", "hms_svc", "serve", *listening, *arguments],
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
        served = self.serve("--drain", *arguments, within=(), http="", **settings)
        code = served.wait(seconds)
        assert code == 0, f"serve --drain ended with {code}:\n{served.log.read_text()}"

    def producer(self, kind: str, mode: str = "") -> Producer:
        """Start a producer of jobs of one kind, see `producer.py`."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.producer", str(self.journal), kind, mode],
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

    def count(self, state: State, type: str = "") -> int:
        """Count the jobs of a state, of all types where none is named."""
        return self.broker.count(state, type)

    def in_hands(self, served: Served) -> int:
        """Count the jobs that processes of this service hold: their names carry its pid."""
        return sum(f"-{served.process.pid}-" in worker for worker in self.broker.holders())

    def ask_until_in_hands(self, producer: Producer, served: Served, jobs: int) -> int:
        """Ask for jobs until this service holds some; return how many were asked for.

        On a busy machine all may be done before this process looks: then it asks for as many again.
        """
        producer.ask(jobs)
        asked = jobs

        def held() -> bool:
            nonlocal asked
            if self.in_hands(served) > 0:
                return True
            if not self._work_left() and not producer.answer() and not self._work_left():
                producer.ask(jobs)
                asked += jobs
            return False

        wait_until("jobs in its hands", held)
        return asked

    def _work_left(self) -> bool:
        return any(self.count(state) for state in State if state not in TERMINAL)

    def jobs(self, type: str = "") -> list[JobRow]:
        """Return the records of a type, of all where none is named."""
        return [job for job in self.broker.jobs() if type in ("", job.type)]

    def freeze(self, served: Served) -> None:
        """Stop every worker of a service, outside of any transaction on embedded files."""
        served.freeze(*(file for file in self.files if file.exists()))

    def check(self) -> Report:
        """Have the checker look at it all."""
        report = check(self.journal, self.broker, self.database)
        print(report)
        return report

    def remains(self) -> str:
        """Describe the jobs that have not completed, at most twenty, and the ends of the logs."""
        left = [job for job in self.jobs() if job.state is not State.COMPLETED]
        states = Counter(job.state.value for job in left)
        logs = [f"{each.log.name}: {each.log.read_text()[-2000:]}" for each in self.all_served]
        return "\n".join([f"not completed: {dict(states)}", *map(str, left[:20]), *logs])

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
        self.broker.close()
