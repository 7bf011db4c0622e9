"""Types whose jobs end in every way; `HMS_SVC_APP` names `APP`. As a program it submits a batch of them.

`python -m tests.chaos.batch_app MEMBERS` submits the batch `ID`, and prints a line once all of it is accepted.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from hms_svc import Batch, Cancel, DeadLetter, Registry, RetryPolicy, RunningJob

APP: Final = "tests.chaos.batch_app:app"
ID: Final = "the-batch"
MEMBER: Final = "batch.member"
LAST: Final = "batch.last"
RUN_SECONDS: Final = 0.02
app = Registry()


@app.job(MEMBER, retry=RetryPolicy(max_attempts=3, base_seconds=0.05))
async def member(job: RunningJob) -> int:
    """End as the number says: most complete, some at once in other ways, some after retries."""
    await asyncio.sleep(RUN_SECONDS)
    number: int = job.data
    match number % 20:
        case 3:
            raise DeadLetter("as its number says")
        case 7:
            raise Cancel("as its number says")
        case 11:
            raise ValueError("as its number says")
        case 13 if job.attempt == 1:
            raise ValueError("once")
    return number


@app.job(LAST)
async def last(job: RunningJob) -> str:
    """Be what follows."""
    return "all have ended"


def submit(members: int) -> None:
    batch = Batch([member.job(number) for number in range(members)], then=last.job(None), id=ID)
    batch.enqueue_blocking()


if __name__ == "__main__":
    submit(int(sys.argv[1]))
    print("accepted", flush=True)
