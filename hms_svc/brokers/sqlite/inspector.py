"""The operator's reads of the queue file: each statement is read to its end immediately."""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from hms_svc.brokers.chunks import in_slices
from hms_svc.brokers.codes import (
    CODE_OF,
    COUNTERS,
    LOWEST_LIMITED,
    LOWEST_RANK,
    LOWEST_SUSPECT,
    PRIORITY_STEP,
    QUEUED,
)
from hms_svc.brokers.damaged_records import readable
from hms_svc.brokers.failures import groups_of, slots_until
from hms_svc.brokers.job_pages import Slices, fill_page, read_cursor, write_cursor
from hms_svc.brokers.schedules import read_state
from hms_svc.brokers.sqlite.batches import SQL as BATCHES
from hms_svc.brokers.sqlite.batches import views as batch_views
from hms_svc.brokers.sqlite.causes import stored_groups
from hms_svc.brokers.sqlite.pages import Key, SQLiteWalks
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.brokers.sqlite.schedules import SQL as SCHEDULES
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.brokers.sqlite.type_limits import SQL as LIMITS
from hms_svc.brokers.sqlite.views import job_detail, progress_view
from hms_svc.brokers.type_limits import read_limits, with_keys
from hms_svc.brokers.worker_views import serving, worker_view
from hms_svc.domain.batches import BatchPage, BatchView
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.filter import Filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import encode
from hms_svc.domain.timestamps import LAST_MS
from hms_svc.domain.views import (
    FailureGroup,
    JobDetail,
    JobPage,
    ProgressView,
    QueueCounts,
    QueueView,
    WorkerView,
)
from hms_svc.ports.broker import WorkerRegistration
from hms_svc.ports.inspection import BrokerHealth
from hms_svc.ports.schedules import ScheduleState
from hms_svc.sqlite.filesystem import capacity_of
from hms_svc.sqlite.lock import FIXED_VERSION, holder_of

SQL: Final = statements_of("operator.sql")
WORKER_LIVES_MS: Final = 45_000
_STATES: Final = tuple(CODE_OF)
_LITTLE_BYTES: Final = 64 * 1024 * 1024
"""The free space of a disk below which there is a warning."""


class SQLiteInspector:
    """Implements `ports.inspection.Inspection`."""

    kind = "sqlite"

    def __init__(self, file: QueueFile, *, lease_seconds: float) -> None:
        self._file = file
        self._walks = SQLiteWalks(file)
        self._worker_lives_ms = int(lease_seconds * 1500)

    async def health(self) -> BrokerHealth:
        """Measure one read, and return what is wrong."""
        started = time.perf_counter()
        notes = []
        try:
            await self._file.fetch("SELECT 1")
            ok = True
        except BrokerUnavailable as error:
            ok = False
            notes.append(str(error))
        if sqlite3.sqlite_version_info < FIXED_VERSION:
            notes.append(
                f"SQLite {sqlite3.sqlite_version} is older than 3.51.3: "
                "the lock file serializes its writers"
            )
        if (pid := holder_of(self._file.path)) is not None:
            notes.append(f"process {pid} holds the write lock")
        capacity = capacity_of(self._file.path)
        if capacity is not None and capacity.limit - capacity.used < _LITTLE_BYTES:
            notes.append(
                f"{capacity.limit - capacity.used:,} bytes are free on the disk of {self._file.path}: when it is "
                "full, new jobs are refused, and no job is claimed or settled until there is free space; "
                "free some, or lower completed_days and completed_max"
            )
        return BrokerHealth(
            self.kind,
            ok,
            (time.perf_counter() - started) * 1000,
            tuple(notes),
            capacity=capacity,
            refused=self._file.refused,
        )

    async def types(self) -> list[str]:
        """Return every known type, sorted."""
        return [row["type"] for row in await self._file.fetch(SQL["queues"])]

    async def queues(
        self,
        types: Collection[str] | None = None,
        *,
        workers: Sequence[WorkerView] | None = None,
    ) -> list[QueueView]:
        """Return queues from their counts and the first jobs in their order, some hundreds at a time.

        Counts and next due time are of the same moment: `--drain` relies on both.
        """
        types = await self.types() if types is None else types
        if not types:
            return []
        claiming, quiet = serving(await self._registrations() if workers is None else workers)
        parts = in_slices(sorted(types))
        return [view for some in parts for view in await self._queues_of(some, claiming, quiet)]

    async def _queues_of(
        self, types: Sequence[str], claiming: Mapping[str, int], quiet: Mapping[str, int]
    ) -> list[QueueView]:
        tallies: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        clock = self._file.clock
        lease_now, now = clock.lease_ms(), clock.now_ms()
        named: dict[str, Any] = {"types": encode(list(types)).decode()}
        counted = await self._file.fetch(SQL["tallies"], named | {"lease_now": lease_now})
        for queue, name, n in counted:
            tallies[queue][name] = n
        ready = [queue for queue, numbers in tallies.items() if numbers.get(State.QUEUED.value)]
        oldest = await self._oldest(ready)
        views = []
        for queue, type, paused_by, why, intake_paused, limits, keyed in await self._file.fetch(
            SQL["queues_of"], named
        ):
            numbers = tallies[queue]
            counts = {state.value: max(0, numbers.get(state.value, 0)) for state in _STATES}
            views.append(
                QueueView(
                    type=type,
                    counts=QueueCounts(**counts),
                    counters={name: numbers.get("+" + name, 0) for name in COUNTERS},
                    oldest_queued_at=oldest.get(queue),
                    next_due_at=numbers.get("next due"),
                    paused=paused_by is not None,
                    paused_by=paused_by or "",
                    pause_reason=why,
                    served=type in claiming,
                    quiet_workers=quiet.get(type, 0),
                    intake_paused=bool(intake_paused),
                    overdue=numbers["overdue"],
                    overdue_since=now - lease_now + numbers["first lease"]
                    if numbers["overdue"]
                    else None,
                    limits=read_limits(limits),
                    keyed_limits=with_keys(keyed),
                    limited=numbers["limited"],
                    suspects=numbers["suspects"],
                )
            )
        return views

    async def page(
        self, where: Filter, *, limit: int, cursor: str | None, examine: int = 0
    ) -> JobPage:
        """Walk the states in order, newest first within each, until the page is full."""
        after: Key | None = read_cursor(cursor, Key)
        slices = Slices(where, self._file.clock.now_ms(), limit=limit, examine=examine)
        walk = self._walks.over(where, after, slices)
        return await fill_page(walk, where, slices)

    async def failures(self) -> list[FailureGroup]:
        """Read the counts that triggers maintain, and the newest job of each group."""
        now = self._file.clock.now_ms()
        slots = slots_until(now)
        rows = await self._file.fetch(SQL["failures"])
        arrivals = await self._file.fetch(SQL["arrivals"], (slots[0] - 1, slots[-1]))
        return groups_of(stored_groups(rows, arrivals, now))

    async def schedules(self) -> dict[str, ScheduleState]:
        """Return what is kept of each schedule."""
        rows = await self._file.fetch(SCHEDULES["states"])
        states = {row["type"]: read_state(row["state"]) for row in rows}
        return {type: state for type, state in states.items() if state is not None}

    async def details(self, job_ids: Sequence[str]) -> list[JobDetail | None]:
        """Return the details of each id."""
        return [await self._detail(job_id) for job_id in job_ids]

    async def progress_of(self, after: Mapping[str, int]) -> dict[str, list[ProgressView]]:
        """Read the lines of all jobs in one statement."""
        found: dict[str, list[ProgressView]] = {job_id: [] for job_id in after}
        for row in await self._file.fetch(SQL["progress"], (encode(after).decode(),)):
            found[row["id"]].append(progress_view(row))
        return found

    async def workers(self) -> list[WorkerView]:
        """Return the live workers of the register, with their running jobs."""
        return (await self.register())[0]

    async def register(self) -> tuple[list[WorkerView], list[WorkerView]]:
        """Read the register and the running jobs."""
        jobs: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        clock = self._file.clock
        for job_id, worker, lease_end in await self._file.fetch(SQL["running"]):
            jobs[worker].append((job_id, clock.now_ms() + lease_end - clock.lease_ms()))
        since = clock.lease_ms() - self._worker_lives_ms
        live: list[WorkerView] = []
        silent: list[WorkerView] = []
        for row in await self._file.fetch(SQL["workers"], (since,)):
            group = live if row["is_live"] else silent
            group.append(
                worker_view(row["info"], jobs[row["id"]], row["last_seen_at"], row["request"])
            )
        return live, silent

    async def lease_end(self, job_id: str) -> int | None:
        """Read the end of the lease from the job's position."""
        rows = await self._file.fetch(SQL["lease_end"], (job_id,))
        clock = self._file.clock
        return clock.now_ms() + int(rows[0][0]) - clock.lease_ms() if rows else None

    async def batches(self, *, limit: int, cursor: str | None) -> BatchPage:
        """Read batches by the time of their submission."""
        at, batch_id = read_cursor(cursor, tuple[int, str]) or (LAST_MS + 1, "")
        bounds = {"at": at, "id": batch_id, "limit": limit + 1 if limit else -1}
        rows = await self._file.fetch(BATCHES["newest"], bounds)
        shown = rows[:limit] if limit else rows
        more = len(shown) < len(rows)
        last = write_cursor((shown[-1]["created_at"], shown[-1]["id"])) if more else None
        return BatchPage(tuple(await self._views(shown)), last)

    async def batch(self, batch_id: str) -> BatchView | None:
        """Read one batch."""
        found = await self._views(await self._file.fetch(BATCHES["named"], (batch_id,)))
        return found[0] if found else None

    async def left_open_batches(self, *, before: int, limit: int) -> tuple[list[str], int]:
        """Find them by the index of open batches."""
        rows = await self._file.fetch(BATCHES["left_open"], (before, limit))
        return [row["id"] for row in rows], rows[0]["number"] if rows else 0

    async def batch_to_make(self, job_id: str) -> str | None:
        """Find the follow-up among those that are not made yet."""
        rows = await self._file.fetch(BATCHES["to_make"], (job_id,))
        return str(rows[0][0]) if rows else None

    async def _views(self, rows: list[sqlite3.Row]) -> list[BatchView]:
        ids = {"ids": encode([row["id"] for row in rows]).decode()}
        counts = await self._file.fetch(BATCHES["counts"], ids)
        return batch_views(rows, counts, await self._file.fetch(BATCHES["follow_ups"], ids))

    async def position(self, job_id: str) -> int | None:
        """Count the ready jobs before this one in its queue."""
        rows = await self._file.fetch(SQL["position"], (job_id,))
        if not rows or rows[0]["state"] != QUEUED:
            return None
        ahead = await self._file.fetch(SQL["ahead"], (rows[0]["queue"], rows[0]["position"]))
        return int(ahead[0][0])

    async def limit_of(self, job_id: str) -> str:
        """Return the text of the limit for which a queued job waits."""
        rows = await self._file.fetch(LIMITS["limit_of"], (job_id,))
        return str(rows[0][0]) if rows else ""

    async def _detail(self, job_id: str) -> JobDetail | None:
        rows = await self._file.fetch(SQL["one"], (job_id,))
        if not rows:
            return None
        progress = await self._file.fetch(SQL["progress_of_row"], (rows[0]["row"],))
        return readable(job_id, lambda: job_detail(rows[0], progress))

    async def _registrations(self) -> list[WorkerRegistration]:
        since = self._file.clock.lease_ms() - self._worker_lives_ms
        rows = await self._file.fetch(SQL["served"], (since,))
        return [msgspec.json.decode(row[0], type=WorkerRegistration) for row in rows]

    async def _oldest(self, queues: Sequence[int]) -> dict[int, int]:
        """Read the first job of each priority of each queue: within one, the order is by age."""
        oldest: dict[int, int] = {}
        starts = dict.fromkeys(queues, LOWEST_RANK)
        for _ in range(64):
            if not starts:
                break
            pairs = encode(list(starts.items())).decode()
            starts = {}
            for queue, position, at in await self._file.fetch(SQL["next_ready_of"], (pairs,)):
                oldest[queue] = min(at, oldest.get(queue, at))
                if position < LOWEST_SUSPECT:
                    starts[queue] = (position // PRIORITY_STEP + 1) * PRIORITY_STEP
                elif position < LOWEST_LIMITED:
                    starts[queue] = LOWEST_LIMITED
        return oldest
