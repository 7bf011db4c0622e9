"""Where a measurement plays: a data folder on the checkout's disk, and what is started in it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import probe
from benchmarks.probe import Probe
from benchmarks.running import Running

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".data"
_SCRIPT = Path(sys.executable).parent / "hms-svc"
HMS_SVC = [os.fspath(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "hms_svc"]


class Stage:
    """A fresh folder for `jobs` numbered jobs; gone when the block ends."""

    def __init__(self, jobs: int = 1) -> None:
        DATA.mkdir(mode=0o700, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=DATA))
        self.probe = Probe.make(jobs)
        kept = {name: v for name, v in os.environ.items() if not name.startswith("HMS_SVC_")}
        self.environment = {
            **kept,
            "HMS_SVC_CONFIG": "",
            "HMS_SVC_DATA_DIR": os.fspath(self.folder),
            "HMS_SVC_APP": "benchmarks.app:registry",
            "HMS_SVC_LOG_LEVEL": "warning",
            "PYTHONPATH": os.fspath(ROOT),
            probe.VARIABLE: os.fspath(self.probe.path),
        }
        self._started: list[Running] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for running in self._started:
            running.stop()
        self.probe.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *command: str) -> Running:
        """Start a program that is stopped at the latest when the block ends."""
        running = Running(command, self.environment, self.folder / "log.txt")
        self._started.append(running)
        return running

    def serve(self, *options: str) -> Running:
        """Start `hms-svc serve --no-http` as a user does."""
        return self.start(*HMS_SVC, "serve", "--no-http", *options)

    def call(self, *command: str) -> Any:
        """Run a program to its end, and give the JSON of the last line that it printed."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command!r} ended with {done.returncode}: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def produce(self, how: str, type: str, count: int, *more: str) -> float:
        """Hand in jobs from another process; gives seconds."""
        module = "benchmarks.producer"
        arguments = (how, type, str(count), *more)
        return float(self.call(sys.executable, "-m", module, *arguments)["seconds"])

    def query(self, file: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read from one of the embedded files."""
        with closing(sqlite3.connect(self.folder / file, timeout=10)) as connection:
            connection.execute("PRAGMA query_only=ON")
            return connection.execute(statement, parameters).fetchall()
