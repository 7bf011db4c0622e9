"""Job types for workers that import their application by name."""

from __future__ import annotations

import asyncio
import os
import threading

from hms_svc import Registry, RunningJob
from hms_svc.domain.backoff import RetryPolicy

app = Registry()


class Opened:
    """A resource: how many jobs have used it."""

    uses = 0


@app.resource
def opened() -> Opened:
    """Open it."""
    return Opened()


@app.job("embedded.resource")
async def use_resource(job: RunningJob, opened: Opened) -> int:
    """Return how often it was used."""
    opened.uses += 1
    return opened.uses


@app.job("embedded.pid")
def tell_process(job: RunningJob) -> dict[str, object]:
    """Write something, and tell process and thread."""
    print("words of the handler")
    return {"pid": os.getpid(), "main": threading.current_thread() is threading.main_thread()}


@app.job("embedded.hang", timeout_seconds=0.2, retry=RetryPolicy(max_attempts=1))
def hang(job: RunningJob) -> None:
    """Hold a thread for ever."""
    threading.Event().wait()


@app.job("embedded.endless")
async def never_return(job: RunningJob) -> None:
    """Be in progress until cancelled."""
    await asyncio.Event().wait()
