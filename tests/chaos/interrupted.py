"""The chaos application with a failpoint armed; `HMS_SVC_APP=tests.chaos.interrupted:app` loads it.

`HMS_SVC_TEST_PLACE` names the place, `HMS_SVC_TEST_FOLDER` the folder of the test. Whoever takes
the next file `turn-N` from it, after 1 to `HMS_SVC_TEST_AT_MOST` visits, is interrupted: as its content says, killed, or stopped until the
test has removed the file `stopped-N`.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Final

from hms_svc.domain import failpoints
from tests.chaos.app import app

__all__ = ["APP", "app"]
APP: Final = "tests.chaos.interrupted:app"


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
        if taken.read_text(encoding="ascii") == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        stopped = taken.with_name(taken.name.replace("taken", "stopped"))
        stopped.touch()
        while stopped.exists():
            time.sleep(0.005)


def arm() -> None:
    """Arm the place that the environment names, where it names one."""
    place = os.environ.get("HMS_SVC_TEST_PLACE")
    if place:
        folder, at_most = (
            Path(os.environ["HMS_SVC_TEST_FOLDER"]),
            os.environ["HMS_SVC_TEST_AT_MOST"],
        )
        failpoints.arm(place, Interruption(folder, int(at_most)))


arm()
