"""The permits service in workers that are killed where a file says so."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Final

from hms_svc import Registry, Run, RunningJob
from permits.jobs import registry as permits

FOLDER: Final = Path(os.environ["PERMITS_KILLS"])
registry = Registry()


def die_once(place: str, job: RunningJob) -> None:
    """Kill this process if the next job of the type is to die there."""
    try:
        (FOLDER / f"{place} {job.type}").unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


@registry.middleware
async def killing(job: RunningJob, run: Run) -> Any:
    (FOLDER / job.id).write_text(str(os.getpid()))
    die_once("before", job)
    result = await run()
    die_once("after", job)
    return result


registry.include(permits)
