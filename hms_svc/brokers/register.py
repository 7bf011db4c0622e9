"""A worker of the register, as operators see it."""

from __future__ import annotations

import msgspec

from hms_svc.domain.views import WorkerView
from hms_svc.ports.broker import WorkerRegistration


def worker_view(registration: bytes, jobs: tuple[str, ...], last_seen_at: int) -> WorkerView:
    """Make the view of a worker of its registration (JSON) and the ids of the jobs in its hands."""
    worker = msgspec.json.decode(registration, type=WorkerRegistration)
    return WorkerView(
        id=worker.id,
        host=worker.host,
        pid=worker.pid,
        slots=worker.slots,
        busy=len(jobs) + worker.hung,
        jobs=jobs,
        types=worker.types,
        started_at=worker.started_at,
        last_seen_at=last_seen_at,
        lane=worker.lane.value,
        schedules=worker.schedules,
        hung=worker.hung,
        type_slots=worker.type_slots,
    )
