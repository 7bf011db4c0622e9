"""Isolated handlers; the setting `app` names `APP`."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hms_svc import Concurrency, DeadLetter, Job, Rate, Registry, RetryPolicy, RunningJob, dao

APP: Final = "tests.runtime.isolated_app:app"
PLACE: Final = {"lat": 38.9, "lon": -77.0}
SOON: Final = RetryPolicy(max_attempts=2, base_seconds=0.05)
app = Registry()


class Tool:
    """A resource, which each process opens for itself."""

    pid = 0


def note(job: RunningJob, text: str) -> None:
    """Write the file of the test, whole from the moment that it exists."""
    file = Path(job.data["file"])
    written = file.with_suffix(".written")
    written.write_text(text, encoding="ascii")
    written.rename(file)


@app.resource
def tool() -> Iterator[Tool]:
    found = Tool()
    found.pid = os.getpid()
    yield found


@app.job("isolated.pid", isolate="process")
def own_pid(job: RunningJob, tool: Tool) -> dict[str, Any]:
    """Return where it runs."""
    print("printed in the process")
    job.log("logged in the process")
    job.progress(0.5, "half")
    return {"pid": os.getpid(), "tool": tool.pid, "attempt": job.attempt}


@app.job("isolated.async", isolate="process")
async def own_pid_later(job: RunningJob) -> int:
    return os.getpid()


@app.job("isolated.case", isolate="process")
def open_case(job: RunningJob) -> str:
    """Open a case, and enqueue a follow-up."""
    Job("isolated.plain", {"of": job.id}, id=f"{job.id}.letter").enqueue()
    return dao.insert_case({**PLACE, "kind": "isolated"})


@app.job("isolated.endless", isolate="process", timeout_seconds=0.5, retry=SOON)
def never_return(job: RunningJob) -> None:
    """Be in a loop that only the end of the process ends, with a child that would outlive it."""
    with subprocess.Popen(["sleep", "600"]) as child:
        note(job, f"{os.getpid()} {child.pid}")
        while True:
            time.sleep(0.01)


@app.job("isolated.case_endless", isolate="process", retry=SOON)
def open_case_and_never_return(job: RunningJob) -> None:
    dao.insert_case({**PLACE, "kind": "isolated"})
    note(job, str(os.getpid()))
    while True:
        time.sleep(0.01)


@app.job("isolated.dies", isolate="process", retry=SOON)
def die(job: RunningJob) -> str:
    """Die in the first attempt."""
    if job.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


@app.job("isolated.exits", isolate="process", retry=RetryPolicy(max_attempts=1))
def leave(job: RunningJob) -> None:
    os._exit(41)


@app.job("isolated.greedy", isolate="process", memory_mb=64, retry=RetryPolicy(max_attempts=1))
def take_memory(job: RunningJob) -> int:
    return len(bytearray(job.data["mb"] * 1024 * 1024))


@app.job("isolated.recycled", isolate="process", jobs_per_process=2)
def once_or_twice(job: RunningJob) -> int:
    return os.getpid()


@app.job("isolated.given_up", isolate="process")
def give_up(job: RunningJob) -> None:
    raise DeadLetter("no use")


@app.job(
    "isolated.limited",
    isolate="process",
    limits=[Concurrency(1, key=lambda data: data["ward"]), Rate(100, 60, key=lambda data: "all")],
    unique=lambda data: str(data["number"]),
)
def limited(job: RunningJob) -> int:
    return os.getpid()


@app.job("isolated.plain")
async def nothing(job: RunningJob) -> int:
    """Run in the worker itself."""
    return os.getpid()
