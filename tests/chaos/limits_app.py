"""Types with limits whose runs are noted in one file of the test; `HMS_SVC_APP` names `APP`."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from hms_svc import Concurrency, Rate, Registry, RetryPolicy, RunningJob

APP: Final = "tests.chaos.limits_app:app"
FILE: Final = "runs.txt"
MOST: Final = 3
WARDS: Final = 2
RUN_SECONDS: Final = 0.02
OFTEN: Final = RetryPolicy(base_seconds=0.1)
app = Registry()


class Noted(msgspec.Struct, frozen=True):
    """What a handler noted: of which key, whether it began, when (monotonic seconds), in which process."""

    key: str
    began: bool
    at: float
    pid: int
    job: str


def ward_of(data: Any) -> str:
    return f"ward {data['number'] % WARDS}"


def note(key: str, *, began: bool, job: str) -> None:
    line = msgspec.json.encode(Noted(key, began, time.monotonic(), os.getpid(), job)) + b"\n"
    file = os.open(
        Path(os.environ["HMS_SVC_TEST_FOLDER"]) / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT
    )
    try:
        os.write(file, line)
    finally:
        os.close(file)


def read_notes(folder: Path) -> list[Noted]:
    """Return what all handlers noted; the last line of a killed process may be cut off."""
    lines = (folder / FILE).read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Noted) for line in lines if line.endswith(b"}")]


@app.job("limited.ward", limits=[Concurrency(MOST, key=ward_of)], retry=OFTEN)
async def one_of_a_ward(job: RunningJob) -> None:
    """Be one of at most three of its ward."""
    await _run(job, ward_of(job.data))


@app.job("limited.type", limits=[Concurrency(MOST)], retry=OFTEN)
async def one_of_a_type(job: RunningJob) -> None:
    """Be one of at most three of its type."""
    await _run(job, job.type)


@app.job("limited.rate", limits=[Rate(10, per_seconds=1)], retry=OFTEN)
async def one_of_a_second(job: RunningJob) -> None:
    """Be one of at most ten in a second."""
    await _run(job, job.type)


async def _run(job: RunningJob, key: str) -> None:
    note(key, began=True, job=job.id)
    await asyncio.sleep(RUN_SECONDS)
    note(key, began=False, job=job.id)
