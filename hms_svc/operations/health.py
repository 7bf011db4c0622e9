"""The health of an installation, which console, `status`, `doctor`, HTTP API and metrics all report. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from hms_svc.domain.errors import DatabaseUnavailable, HmsError, SchemaMismatch
from hms_svc.domain.health import ENGINE_KINDS, Health, Level, Trouble, TroubleKind
from hms_svc.domain.plain_text import plain, plural
from hms_svc.domain.views import QueueView, WorkerState, WorkerView
from hms_svc.operations.explanation import is_silent, unserved_text
from hms_svc.ports.database import DatabaseHealth
from hms_svc.ports.inspection import BrokerHealth, Capacity

SLOW_MS: Final = 250.0
"""An engine whose round trip takes longer is slow."""
RESCUE_SHARE: Final = 0.5
"""If a lease ran out longer ago than this share of a lease, the job should have been requeued."""
LEAST_RESCUE_MS: Final = 2_000
MOST_NAMED: Final = 10
_NOTHING: Final[Mapping[TroubleKind, int]] = {}


class HealthInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What was read at `at` (Unix ms). `queues` and `workers` are None if they were not read.

    `silent` workers are registered but not live; `lease_ms` is how long a lease lasts.
    """

    at: int
    broker: BrokerHealth | None = None
    database: DatabaseHealth | None = None
    queues: Sequence[QueueView] | None = None
    workers: Sequence[WorkerView] | None = None
    silent: Sequence[WorkerView] = ()
    lease_ms: int = 30_000


class _Found(msgspec.Struct, frozen=True):
    """One problem; `since` is None if its beginning is not recorded."""

    kind: TroubleKind
    level: Level
    message: str
    since: int | None = None
    detail: str = ""
    since_oldest: bool = False


class HealthWatch:
    """Judges what is read repeatedly, and remembers when problems began that nothing records."""

    def __init__(self) -> None:
        self._since: dict[TroubleKind, int] = {}

    def take(self, seen: HealthInputs) -> Health:
        """Return the health of what was read."""
        health = assess(seen, self._since)
        judged = set(TroubleKind) if health.is_whole else ENGINE_KINDS
        later = {kind: at for kind, at in self._since.items() if kind not in judged}
        self._since = later | {each.kind: each.since for each in health.troubles}
        return health


def assess(seen: HealthInputs, known: Mapping[TroubleKind, int] = _NOTHING) -> Health:
    """Return the health of what was read.

    A problem without a recorded beginning began when `known` has it (Unix ms), or now.
    """
    found = [*_engines(seen)]
    is_whole = seen.queues is not None and seen.workers is not None
    if seen.queues is not None and seen.workers is not None:
        found += [*_workers(seen, seen.queues, seen.workers), *_queues(seen.queues, seen.workers)]
    troubles = [
        Trouble(
            kind=each.kind,
            level=each.level,
            message=plain(each.message),
            since=known.get(each.kind, seen.at) if each.since is None else each.since,
            detail=plain(each.detail),
            since_oldest=each.since_oldest,
        )
        for each in found
    ]
    troubles.sort(key=lambda trouble: trouble.rank)
    return Health(at=seen.at, troubles=tuple(troubles), is_whole=is_whole)


def seen_of_outage(error: HmsError, now_ms: int, *, broker: str, database: str) -> HealthInputs:
    """Return what an error that came up when the engines were opened implies; both by their kinds."""
    notes = (plain(str(error)),)
    if isinstance(error, (DatabaseUnavailable, SchemaMismatch)):
        return HealthInputs(at=now_ms, database=DatabaseHealth(database, ok=False, notes=notes))
    return HealthInputs(at=now_ms, broker=BrokerHealth(broker, False, 0.0, notes))


def _engines(seen: HealthInputs) -> Iterator[_Found]:
    broker, database = seen.broker, seen.database
    if broker is not None:
        yield from _engine(
            "broker",
            broker.ok,
            broker.round_trip_ms,
            broker.notes,
            (TroubleKind.BROKER_DOWN, TroubleKind.BROKER_SLOW),
        )
        if broker.ok and broker.capacity is not None and broker.capacity.is_full:
            yield _full(TroubleKind.BROKER_FULL, "broker", broker.capacity, "new jobs are rejected")
    if database is not None:
        yield from _engine(
            "database",
            database.ok,
            database.round_trip_ms,
            database.notes,
            (TroubleKind.DATABASE_DOWN, TroubleKind.DATABASE_SLOW),
        )
        if database.ok and database.capacity is not None and database.capacity.is_full:
            parts = "no case can be written, and no job that writes one can finish"
            yield _full(TroubleKind.DATABASE_FULL, "database", database.capacity, parts)


def _engine(
    name: str,
    ok: bool,
    round_trip_ms: float,
    notes: Sequence[str],
    kinds: tuple[TroubleKind, TroubleKind],
) -> Iterator[_Found]:
    down, slow = kinds
    if not ok:
        yield _Found(down, Level.DOWN, f"{name} down", detail="; ".join(notes))
    elif round_trip_ms > SLOW_MS:
        detail = f"a round trip takes {round_trip_ms:.0f} ms, more than {SLOW_MS:.0f}"
        yield _Found(slow, Level.DEGRADED, f"{name} slow", detail=detail)


def _full(kind: TroubleKind, name: str, capacity: Capacity, parts: str) -> _Found:
    detail = f"{capacity.used:,} of {capacity.limit:,} bytes are used: {parts}"
    return _Found(kind, Level.DOWN, f"{name} full", detail=detail)


def _workers(
    seen: HealthInputs, queues: Sequence[QueueView], workers: Sequence[WorkerView]
) -> Iterator[_Found]:
    silent_workers = [each for each in workers if is_silent(each, seen.at, seen.lease_ms)]
    if not workers:
        yield _no_workers(seen, queues)
    elif silent_workers:
        yield _silent(silent_workers, len(workers))
    overdue = sum(queue.overdue for queue in queues)
    first = min((each.overdue_since for each in queues if each.overdue_since), default=seen.at)
    if overdue and seen.at - first > max(LEAST_RESCUE_MS, int(seen.lease_ms * RESCUE_SHARE)):
        is_attended = len(silent_workers) < len(workers)
        yield _Found(
            TroubleKind.LEASES_OVERDUE,
            Level.DEGRADED if is_attended else Level.DOWN,
            f"{plural(overdue, 'lease')} overdue",
            first,
            "jobs in processing whose lease ran out: "
            + (
                "no worker requeues them"
                if is_attended
                else "there is no live worker to requeue them"
            ),
        )
    if quiet := [each for each in workers if each.state is WorkerState.QUIET]:
        yield _quiet(quiet, len(workers))
    if hung := sum(worker.hung for worker in workers):
        slots = sum(worker.slots for worker in workers)
        yield _Found(
            TroubleKind.SLOTS_HUNG,
            Level.DEGRADED,
            f"{hung} of {slots} slots hung",
            detail="occupied by functions that run on past their timeout: the log of hms-svc serve names them",
        )


def _quiet(quiet: Sequence[WorkerView], of: int) -> _Found:
    requests = [each.request for each in quiet if each.request is not None]
    parts = [
        f"{each.id} by {each.request.by}{f' ({each.request.reason})' if each.request.reason else ''}"
        if each.request is not None
        else each.id
        for each in quiet
    ]
    return _Found(
        TroubleKind.WORKERS_QUIET,
        Level.NOTE,
        f"{len(quiet)} of {plural(of, 'worker')} quiet",
        min((request.at for request in requests), default=None),
        f"claims no jobs until it is resumed: {_named(parts, between='; ')}",
    )


def _no_workers(seen: HealthInputs, queues: Sequence[QueueView]) -> _Found:
    open_queues = [queue for queue in queues if not queue.paused]
    waiting = sum(_waiting(queue) for queue in open_queues)
    oldest = _oldest(open_queues) if waiting else None
    running = sum(queue.counts.processing for queue in queues)
    last_seen = max((worker.last_seen_at for worker in seen.silent), default=None)
    level, message = Level.DOWN, "no workers"
    if waiting:
        message += f", {plural(waiting, 'job')} waiting"
    elif running:
        message += f", {plural(running, 'job')} in processing"
    else:
        level = Level.NOTE
    since = last_seen if oldest is None else oldest
    detail = "no worker is alive: start one with hms-svc serve"
    if last_seen is not None and seen.silent:
        newest = max(seen.silent, key=lambda worker: worker.last_seen_at)
        detail += f"; {newest.id} was the last live one"
    return _Found(TroubleKind.NO_WORKERS, level, message, since, detail, oldest is not None)


def _silent(silent_workers: Sequence[WorkerView], of: int) -> _Found:
    running = sum(len(worker.jobs) for worker in silent_workers)
    message = f"{len(silent_workers)} of {plural(of, 'worker')} silent"
    message += f", {plural(running, 'job')} running" if running else ""
    return _Found(
        TroubleKind.WORKERS_SILENT,
        Level.DEGRADED if len(silent_workers) < of else Level.DOWN,
        message,
        min(worker.last_seen_at for worker in silent_workers),
        f"no heartbeat of {_named([worker.id for worker in silent_workers])}",
    )


def _queues(queues: Sequence[QueueView], workers: Sequence[WorkerView]) -> Iterator[_Found]:
    unserved = [each for each in queues if _waiting(each) and not each.served and not each.paused]
    if workers and unserved:
        oldest = _oldest(unserved)
        without = [each for each in unserved if not each.quiet_workers]
        parts = [unserved_text(each, workers) for each in unserved if each.quiet_workers]
        if without:
            named = _named([f"{each.type} ({_waiting(each):,})" for each in without])
            parts.insert(0, f"no live worker serves {named}")
        yield _Found(
            TroubleKind.UNSERVED,
            Level.DEGRADED,
            f"{_types(unserved)} unserved, {plural(sum(map(_waiting, unserved)), 'job')} waiting",
            oldest,
            _named(parts, between="; "),
            oldest is not None,
        )
    if faulty := [each for each in queues if each.faults]:
        detail = "; ".join(fault for each in faulty for fault in each.faults)
        yield _Found(
            TroubleKind.FAULTY_KEYS,
            Level.DEGRADED,
            f"faulty keys of {_types(faulty)}",
            None,
            detail,
        )
    yield from _paused(queues)


def _paused(queues: Sequence[QueueView]) -> Iterator[_Found]:
    paused = [each for each in queues if each.paused]
    if not paused:
        return
    if closed := [each for each in paused if each.intake_paused]:
        message = f"intake of {_types(closed)} closed"
        yield _Found(TroubleKind.INTAKE_CLOSED, Level.NOTE, message, None, _by_whom(closed))
    waiting = sum(map(_waiting, paused))
    oldest = _oldest(paused) if waiting else None
    jobs = f", {plural(waiting, 'job')} waiting" if waiting else ""
    if all(each.paused for each in queues if each.served or _waiting(each)):
        kind, level, what = TroubleKind.ALL_PAUSED, Level.DEGRADED, "everything"
    else:
        kind, level, what = TroubleKind.PAUSED, Level.NOTE, _types(paused)
    message = f"{what} paused{jobs}"
    yield _Found(kind, level, message, oldest, _by_whom(paused), oldest is not None)


def _by_whom(paused: Sequence[QueueView]) -> str:
    parts = []
    for queue in paused:
        why = f" ({queue.pause_reason})" if queue.pause_reason else ""
        intake = " including its intake" if queue.intake_paused else ""
        parts.append(f"{queue.type}{intake} was paused by {queue.paused_by or 'somebody'}{why}")
    return _named(parts, between="; ")


def _waiting(queue: QueueView) -> int:
    return queue.counts.queued + queue.counts.intake


def _oldest(queues: Sequence[QueueView]) -> int | None:
    """Return when the longest-waiting job was enqueued, if that is recorded."""
    return min((each.oldest_queued_at for each in queues if each.oldest_queued_at), default=None)


def _types(queues: Sequence[QueueView]) -> str:
    return queues[0].type if len(queues) == 1 else plural(len(queues), "type")


def _named(names: Sequence[str], between: str = ", ") -> str:
    more = len(names) - MOST_NAMED
    return between.join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
