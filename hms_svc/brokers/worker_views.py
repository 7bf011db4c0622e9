"""A worker of the register, as operators see it."""

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
    in_hand: Sequence[tuple[str, int]],
    last_seen_at: int,
    request: bytes | None = None,
) -> WorkerView:
    """Make the view of a worker of its registration and what is wanted of it (JSON).

    `in_hand` are the ids of the jobs that it runs, each with the end of its lease (Unix ms).
    """
    worker = msgspec.json.decode(registration, type=WorkerRegistration)
    jobs, lease_ends = zip(*in_hand, strict=True) if in_hand else ((), ())
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
    """Count for each type the workers that claim of it, and those that have its handler and claim nothing.

    Suspect lanes are neither: they take no new jobs.
    """
    claiming: Counter[str] = Counter()
    quiet: Counter[str] = Counter()
    for worker in workers:
        if worker.lane == Lane.SUSPECT:
            continue
        (claiming if worker.state is WorkerState.WORKING else quiet).update(worker.types)
    return claiming, quiet
