"""Which workers a call concerns: those on the running loop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from hms_svc.api import service_here
from hms_svc.runtime.workers_here import WorkerHere


async def test_a_job_that_a_worker_of_another_loop_awaits_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a bench began other jobs beside its own because of a worker elsewhere in the process."""
    nothing: Any = None
    worker = WorkerHere(nothing, nothing)
    service = SimpleNamespace(ends=SimpleNamespace(are_awaited=True))
    monkeypatch.setattr(service_here, "_of_workers", {worker: service})
    assert service_here.is_job_awaited()
    worker.loop = asyncio.new_event_loop()
    assert not service_here.is_job_awaited()
    worker.loop.close()
