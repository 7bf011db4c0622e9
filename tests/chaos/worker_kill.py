"""Kill a worker process of a fleet, and wait until it is gone."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.serve_process import Served
from tests.support.waiting import wait_until


def kill_one(chance: random.Random, fleet: Sequence[Served]) -> tuple[int, float] | None:
    """Kill a worker; return its pid and when it was gone. Its supervisor starts another one."""
    workers = chance.choice(fleet).workers()
    if not workers:
        return None
    pid = chance.choice(workers)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_until("it is gone", lambda: not _lives(pid))
    return pid, time.monotonic()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
