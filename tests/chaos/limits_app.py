"""Types with limits whose runs are noted in one file of the test; `HMS_SVC_APP` names `APP`."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from hms_svc import Concurrency, Rate, Registry, RetryPolicy, RunningJob
from tests.chaos.run_notes import note

APP: Final = "tests.chaos.limits_app:app"
MOST: Final = 3
WARDS: Final = 2
RUN_SECONDS: Final = 0.02
OFTEN: Final = RetryPolicy(base_seconds=0.1)
app = Registry()


def ward_of(data: Any) -> str:
    return f"ward {data['number'] % WARDS}"


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
