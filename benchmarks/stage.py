"""The surroundings of a measurement: a data folder on the checkout's disk, its servers, and what is started."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import probe
from benchmarks.engines import EMBEDDED, Engines
from benchmarks.observer import Observer
from benchmarks.probe import Probe
from benchmarks.running import Running
from benchmarks.servers import Redis, fresh_database

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".data"
_SCRIPT = Path(sys.executable).parent / "hms-svc"
HMS_SVC = [os.fspath(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "hms_svc"]
COMMAND_SECONDS = 600.0
REDIS_VARIABLE, DATABASE_VARIABLE = "BENCH_REDIS", "BENCH_DATABASE"


class Stage:
    """A fresh folder for `jobs` numbered jobs, with fresh servers; gone when the block ends."""

    def __init__(
        self, jobs: int = 1, engines: Engines = EMBEDDED, *, migrated: bool = True
    ) -> None:
        DATA.mkdir(mode=0o700, exist_ok=True)
        self.engines = engines
        self._migrated = migrated
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
        self._redis: Redis | None = None
        self._open = ExitStack()
        self._started: list[Running] = []

    @property
    def redis(self) -> Redis:
        """The server of this stage."""
        assert self._redis is not None, "this stage has no Redis"
        return self._redis

    @cached_property
    def observer(self) -> Observer:
        """The operator's view; what it asks for costs time, so ask outside of what is timed."""
        observer = Observer(self.environment)
        self._open.callback(observer.close)
        return observer

    def __enter__(self) -> Self:
        if self.engines.redis:
            self._redis = self._open.enter_context(Redis(self.folder, self.engines.appendonly))
            self.use_broker(self._redis.url)
        if self.engines.postgres:
            address = self._open.enter_context(fresh_database())
            self.environment |= {"HMS_SVC_DATABASE_URL": address, DATABASE_VARIABLE: address}
            if self._migrated:
                self.run(*HMS_SVC, "db", "migrate")
        return self

    def use_broker(self, url: str) -> None:
        """Let what is started from now on dial this address."""
        self.environment |= {"HMS_SVC_BROKER_URL": url, REDIS_VARIABLE: url}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for running in self._started:
            running.stop()
        self._open.close()
        self.probe.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *command: str, core: int | None = None) -> Running:
        """Start a program, on one core where asked; it is stopped when the block ends at the latest."""
        pinned = () if core is None else ("taskset", "-c", str(core))
        running = Running((*pinned, *command), self.environment, self.folder / "log.txt")
        self._started.append(running)
        return running

    def serve(self, *options: str, core: int | None = None) -> Running:
        """Start `hms-svc serve --no-http` as a user does."""
        return self.start(*HMS_SVC, "serve", "--no-http", *options, core=core)

    def run(self, *command: str) -> str:
        """Run a program to its end, and give what it printed."""
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        if done.returncode:
            raise RuntimeError(f"{command!r} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def call(self, *command: str) -> Any:
        """Run a program to its end, and give the JSON of the last line that it printed."""
        return json.loads(self.run(*command).splitlines()[-1])

    def produce(self, how: str, type: str, count: int, *more: str) -> float:
        """Submit jobs from another process; return seconds."""
        module = "benchmarks.producer"
        arguments = (how, type, str(count), *more)
        return float(self.call(sys.executable, "-m", module, *arguments)["seconds"])

    def query(self, file: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read from one of the embedded files."""
        with closing(sqlite3.connect(self.folder / file, timeout=10)) as connection:
            connection.execute("PRAGMA query_only=ON")
            return connection.execute(statement, parameters).fetchall()
