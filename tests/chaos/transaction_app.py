"""A type whose runs are noted, for jobs of a producer's transactions; `HMS_SVC_APP` names `APP`."""

from __future__ import annotations

from typing import Final

from hms_svc import Registry, RetryPolicy, RunningJob
from tests.chaos.run_notes import note

APP: Final = "tests.chaos.transaction_app:app"
TYPE: Final = "transaction.received"
app = Registry()


@app.job(TYPE, retry=RetryPolicy(base_seconds=0.1))
async def received(job: RunningJob) -> None:
    """Note that the job began."""
    note(job.type, began=True, job=job.id)
