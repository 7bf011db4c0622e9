"""The operator's view of a worker in the register."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from hms_svc.domain.job import Lane
from hms_svc.domain.views import WorkerRequest, WorkerState, WorkerView
from hms_svc.ports.broker import WorkerRegistration

read_request: Final = msgspec.json.Decoder(WorkerRequest).decode


def worker_view(
    registration: bytes,
    running: Sequence[tuple[str, int]],
    last_seen_at: int,
    request: bytes | None = None,
) -> WorkerView:
    """Return the view of a worker from its registration and the request to it (both JSON).

    `running` are the ids of its running jobs, each with the end of its lease (Unix ms).
    """
    worker = msgspec.json.decode(registration, type=WorkerRegistration)
    jobs, lease_ends = zip(*running, strict=True) if running else ((), ())
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
        lease_ends=lease_ends,
        state=worker.state,
        request=read_request(request) if request else None,
    )


def serving(
    workers: Iterable[WorkerRegistration | WorkerView],
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Count for each type the workers that claim it, and those that serve it but are quiet.

    Suspect lanes are not counted: they take no new jobs.
    """
    claiming: Counter[str] = Counter()
    quiet: Counter[str] = Counter()
    for worker in workers:
        if worker.lane == Lane.SUSPECT:
            continue
        (claiming if worker.state is WorkerState.WORKING else quiet).update(worker.types)
    return claiming, quiet
