"""Job types of the chaos tests; `HMS_SVC_APP=tests.chaos.app:app` has `serve` load them."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Final

from hms_svc import Registry, RunningJob, dao
from hms_svc.domain.backoff import RetryPolicy

APP: Final = "tests.chaos.app:app"
app = Registry()


@app.job("chaos.case")
async def open_case(job: RunningJob) -> str:
    """Open a case."""
    return await job.dao.insert_case(job.data, kind="chaos")


@app.job("chaos.decided")
async def ask_then_open(job: RunningJob) -> str:
    """Open a case where governance lets it."""
    await job.gov.vet("open", job.data)
    return await job.dao.insert_case(job.data, kind="chaos")


@app.job("chaos.exit")
def leave(job: RunningJob) -> None:
    """End the whole process."""
    os._exit(41)


@app.job("chaos.slow", retry=RetryPolicy(base_seconds=0.1))
async def dawdle(job: RunningJob) -> None:
    """Take a while, as most real jobs do."""
    await asyncio.sleep(0.02)


@app.job("chaos.failing", retry=RetryPolicy(base_seconds=0.2, cap_seconds=1.0))
def fail_at_first(job: RunningJob) -> None:
    """Fail three times, for one of two causes, then succeed."""
    if job.attempt < 4:
        raise OSError(("no photo {}", "crew {} answered 503")[job.attempt % 2].format(job.id))


@app.job("chaos.slow_case", retry=RetryPolicy(base_seconds=0.1))
async def dawdle_then_open(job: RunningJob) -> str:
    """Take a while, and open a case."""
    await asyncio.sleep(0.02)
    return await job.dao.insert_case(job.data, kind="chaos")


@app.job("chaos.long_case", retry=RetryPolicy(base_seconds=0.1))
async def linger_then_open(job: RunningJob) -> str:
    """Take so long that an outage finds running jobs, and open a case."""
    await asyncio.sleep(0.3)
    return await job.dao.insert_case(job.data, kind="chaos")


@app.job("chaos.endless")
async def never_return(job: RunningJob) -> None:
    """Be in progress until somebody ends it."""
    await asyncio.Event().wait()


@app.job("chaos.stuck")
def stay_on_thread(job: RunningJob) -> None:
    """Hold a thread that nothing can interrupt."""
    threading.Event().wait()


@app.job("chaos.wait_case")
def wait_then_open(job: RunningJob) -> str:
    """Open a case; in the process that comes first only after the test has said so."""
    wait_for_the_test(job)
    return dao.insert_case(job.data, kind="chaos")


@app.job("chaos.case_wait")
def open_then_wait(job: RunningJob) -> str:
    """Open a case; the process that comes first ends only after the test has said so."""
    case = dao.insert_case(job.data, kind="chaos")
    wait_for_the_test(job)
    return case


def wait_for_the_test(job: RunningJob) -> None:
    """In the first process that asks: say that this job is here, and wait for `go-on`."""
    folder = Path(os.environ["HMS_SVC_TEST_FOLDER"])
    own = str(os.getpid())
    try:
        (folder / "first").symlink_to(own)
    except FileExistsError:
        if str((folder / "first").readlink()) != own:
            return
    (folder / f"waits-{job.data['number']}").touch()
    while not (folder / "go-on").exists():
        time.sleep(0.01)
