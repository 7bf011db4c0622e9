"""The chaos application with a failpoint armed; `HMS_SVC_APP=tests.chaos.interrupted:app` loads it.

`HMS_SVC_TEST_PLACE` names the place, `HMS_SVC_TEST_FOLDER` the folder of the test. Whoever takes
the next file `turn-N` from it, after 1 to `HMS_SVC_TEST_AT_MOST` visits, is interrupted, as its
content says: `kill`; `stop` until the test has removed the file `stopped-N.PID`; or `lose FILE`: the
next commit of this process to that database file happens, is reported as failed, and leaves `lost-N`.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from hms_svc.domain import failpoints
from hms_svc.sqlite import connection
from tests.chaos.app import app

__all__ = ["APP", "app"]
APP: Final = "tests.chaos.interrupted:app"
BUSY_TIMEOUT_MS: Final = 300
"""Instead of ten seconds, so that a file that another program locks for one second is an outage."""


class Losing(sqlite3.Connection):
    """A connection to an embedded file whose reply to one COMMIT may be lost on the way back."""

    to_lose = ""
    proof: Path

    def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement, see sqlite3."""
        cursor = super().execute(statement, parameters)
        writer = f"writer-{Losing.to_lose}"
        if statement == "COMMIT" and Losing.to_lose and threading.current_thread().name == writer:
            Losing.to_lose = ""
            Losing.proof.touch()
            raise sqlite3.OperationalError("disk I/O error, after the commit")
        return cursor


class Interruption:
    """Counts down to a random visit of the place, again and again."""

    def __init__(self, folder: Path, at_most: int) -> None:
        self._folder = folder
        self._at_most = at_most
        self._left = 0
        self._aim()

    def __call__(self) -> None:
        self._left -= 1
        if self._left > 0:
            return
        self._aim()
        for turn in sorted(self._folder.glob("turn-*")):
            taken = turn.with_name(turn.name.replace("turn", "taken"))
            try:
                turn.rename(taken)
            except FileNotFoundError:
                continue
            self._interrupt(taken)
            return

    def _aim(self) -> None:
        self._left = random.randint(1, self._at_most)

    def _interrupt(self, taken: Path) -> None:
        how, _, file = taken.read_text(encoding="ascii").partition(" ")
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "lose":
            Losing.proof = taken.with_name(taken.name.replace("taken", "lost"))
            Losing.to_lose = file
            return
        stopped = taken.with_name(f"{taken.name.replace('taken', 'stopped')}.{os.getpid()}")
        stopped.touch()
        while stopped.exists():
            time.sleep(0.005)


def arm() -> None:
    """Arm the place that the environment names, where it names one."""
    place = os.environ.get("HMS_SVC_TEST_PLACE")
    if place:
        folder = Path(os.environ["HMS_SVC_TEST_FOLDER"])
        at_most = int(os.environ["HMS_SVC_TEST_AT_MOST"])
        failpoints.arm(place, Interruption(folder, at_most))
        vars(sqlite3)["connect"] = partial(sqlite3.connect, factory=Losing)
        vars(connection)["BUSY_TIMEOUT_MS"] = BUSY_TIMEOUT_MS


arm()
