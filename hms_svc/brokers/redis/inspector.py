"""The operator's reads from Redis: each is a bounded script or a pipeline."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

from hms_svc.brokers.chunks import in_slices
from hms_svc.brokers.codes import COUNTERS, STATE_OF
from hms_svc.brokers.damaged_records import readable
from hms_svc.brokers.failures import StoredGroup, groups_of
from hms_svc.brokers.job_pages import Slices, fill_page, read_cursor
from hms_svc.brokers.limits import MOST_AHEAD, MOST_RUNNING
from hms_svc.brokers.redis import batches, operator_calls, worker_calls
from hms_svc.brokers.redis.diagnosis import diagnose
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.redis.pages import Key, RedisWalks
from hms_svc.brokers.redis.record import Record
from hms_svc.brokers.redis.wrong_types import faults_of
from hms_svc.brokers.schedules import read_state
from hms_svc.brokers.type_limits import read_limits, with_keys
from hms_svc.brokers.worker_views import serving, worker_view
from hms_svc.domain.batches import BatchPage, BatchView
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.filter import Filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import (
    FailureGroup,
    JobDetail,
    JobPage,
    ProgressView,
    QueueCounts,
    QueueView,
    WorkerView,
)
from hms_svc.ports.inspection import BrokerHealth
from hms_svc.ports.schedules import ScheduleState

_GROUPS_AT_ONCE: Final = 250


class RedisInspector:
    """Implements `ports.inspection.Inspection`."""

    kind = "redis"

    def __init__(self, link: Link, *, lease_seconds: float) -> None:
        self._link = link
        self._walks = RedisWalks(link)
        self._worker_lives_ms = int(lease_seconds * 1500)

    async def health(self) -> BrokerHealth:
        """Measure one round trip, and return what is wrong."""
        started = time.perf_counter()
        try:
            await self._link.ask("PING")
        except BrokerUnavailable as error:
            return BrokerHealth(self.kind, False, _since(started), (str(error),))
        round_trip = _since(started)
        try:
            found = await diagnose(self._link, self._link.url)
        except BrokerUnavailable as error:
            return BrokerHealth(self.kind, False, round_trip, (str(error),))
        return BrokerHealth(
            self.kind,
            True,
            round_trip,
            found.notes,
            found.durability,
            found.capacity,
            self._link.refused,
        )

    async def types(self) -> list[str]:
        """Return every known type, sorted."""
        return await self._walks.types()

    async def queues(
        self,
        types: Collection[str] | None = None,
        *,
        workers: Sequence[WorkerView] | None = None,
    ) -> list[QueueView]:
        """Return the queues of these types; some hundreds are read in one step."""
        known = await self.types() if types is None else await self._known(sorted(types))
        if not known:
            return []
        claiming, quiet = serving(await self.workers() if workers is None else workers)
        views: list[QueueView] = []
        for some in in_slices(known):
            rows = await self._link.run(operator_calls.queues(some))
            now = self._link.clock.now_ms()
            views += [_queue_view(row, claiming, quiet, now) for row in rows]
        return views

    async def _known(self, types: Sequence[str]) -> list[str]:
        if not types:
            return []
        are_known = await self._link.ask("SMISMEMBER", self._link.keys.ours("job-types"), *types)
        return [type for type, is_known in zip(types, are_known, strict=True) if is_known]

    async def page(
        self, where: Filter, *, limit: int, cursor: str | None, examine: int = 0
    ) -> JobPage:
        """Walk the states in order, newest first within each, until the page is full."""
        after: Key | None = read_cursor(cursor, Key)
        slices = Slices(where, self._link.clock.now_ms(), limit=limit, examine=examine)
        walk = self._walks.over(where, after, slices)
        return await fill_page(walk, where, slices)

    async def failures(self) -> list[FailureGroup]:
        """Read the groups, some hundreds in one script, so that other calls are served in between."""
        causes = sorted(await self._link.ask("SMEMBERS", self._link.keys.ours("causes")))
        rows: list[Any] = []
        for first in range(0, len(causes), _GROUPS_AT_ONCE):
            some = causes[first : first + _GROUPS_AT_ONCE]
            found = await self._link.run(operator_calls.failures(some))
            rows += found
        groups = [readable(row[5].decode(), partial(_stored_group, row)) for row in rows]
        return groups_of(group for group in groups if group is not None)

    async def schedules(self) -> dict[str, ScheduleState]:
        """Return what is kept of each schedule."""
        found = await self._link.ask("HGETALL", self._link.keys.ours("schedules"))
        states = {type.decode(): read_state(state) for type, state in found.items()}
        return {type: state for type, state in states.items() if state is not None}

    async def details(self, job_ids: Sequence[str]) -> list[JobDetail | None]:
        """Read all records in one round trip."""
        keys = self._link.keys
        commands = [
            command
            for job_id in job_ids
            for command in (
                ("GET", keys.ours("job", job_id)),
                ("XRANGE", keys.ours("progress", job_id), "-", "+"),
            )
        ]
        answers = await self._link.ask_all(commands)
        rows = zip(job_ids, answers[::2], answers[1::2], strict=True)
        return [_detail(job_id, text, lines) for job_id, text, lines in rows]

    async def progress_of(self, after: Mapping[str, int]) -> dict[str, list[ProgressView]]:
        """Read the lines of all jobs in one round trip."""
        streams = [
            ("XRANGE", self._link.keys.ours("progress", job_id), f"{number + 1}-0", "+")
            for job_id, number in after.items()
        ]
        answers = await self._link.ask_all(streams)
        return {
            job_id: [_progress_view(*entry) for entry in lines]
            for job_id, lines in zip(after, answers, strict=True)
        }

    async def workers(self) -> list[WorkerView]:
        """Return the live workers of the register, with their running jobs."""
        return (await self.register())[0]

    async def register(self) -> tuple[list[WorkerView], list[WorkerView]]:
        """Read the register and the running jobs."""
        keys = self._link.keys
        since = self._link.lease_now(await self._server_ms()) - self._worker_lives_ms
        seen, infos, requests = await self._link.ask_all(
            [
                ("ZRANGEBYSCORE", keys.ours("workers"), "-inf", "+inf", "WITHSCORES"),
                ("HGETALL", keys.ours("worker_info")),
                ("HGETALL", keys.ours("worker-requests")),
            ]
        )
        running = await self._link.run(worker_calls.running(MOST_RUNNING))
        now = self._link.clock.now_ms()
        jobs: defaultdict[bytes, list[tuple[str, int]]] = defaultdict(list)
        for job in running:
            jobs[job.worker].append((job.job_id, now + job.left_ms))
        live: list[WorkerView] = []
        silent: list[WorkerView] = []
        for name, score in sorted(zip(seen[::2], seen[1::2], strict=True)):
            if name in infos:
                group = live if float(score) >= since else silent
                group.append(_worker_view(infos[name], jobs[name], requests.get(name)))
        return live, silent

    async def lease_end(self, job_id: str) -> int | None:
        """Read the end of the lease from the index of processing jobs."""
        keys = self._link.keys
        text = await self._link.ask("GET", keys.ours("job", job_id))
        record = Record(job_id, text) if text is not None else None
        if record is None or record.state is not State.PROCESSING:
            return None
        ends = await self._link.ask("ZSCORE", keys.index("processing", record.type), job_id)
        if ends is None:
            return None
        left = int(float(ends)) - self._link.lease_now(await self._server_ms())
        return self._link.clock.now_ms() + left

    async def _server_ms(self) -> int:
        seconds, micros = await self._link.ask("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def position(self, job_id: str) -> int | None:
        """Count the ready jobs before this one in its queue."""
        text = await self._link.ask("GET", self._link.keys.ours("job", job_id))
        if text is None:
            return None
        record = Record(job_id, text)
        if record.state is not State.QUEUED:
            return None
        queued, suspects, limited = (
            self._link.keys.index(name, record.type) for name in ("queued", "suspects", "limited")
        )
        ahead, among, waiting, ready = await self._link.ask_all(
            [
                ("ZRANK", queued, job_id),
                ("ZRANK", suspects, job_id),
                ("ZRANK", limited, job_id),
                ("ZCARD", queued),
            ]
        )
        if ahead is None:
            ahead = ready + (among or waiting or 0)
        return min(int(ahead), MOST_AHEAD)

    async def batches(self, *, limit: int, cursor: str | None) -> BatchPage:
        """Read batches by the time of their submission."""
        return await batches.page(self._link, limit=limit, cursor=cursor)

    async def batch(self, batch_id: str) -> BatchView | None:
        """Read one batch."""
        [found] = await batches.read(self._link, [batch_id])
        return found

    async def left_open_batches(self, *, before: int, limit: int) -> tuple[list[str], int]:
        """Read the first of the open batches, and count them."""
        return await batches.left_open(self._link, before=before, limit=limit)

    async def batch_to_make(self, job_id: str) -> str | None:
        """Find the follow-up among those that are not made yet."""
        batch = await self._link.ask("HGET", self._link.keys.ours("follow-up-ids"), job_id)
        return None if batch is None else str(batch.decode())

    async def limit_of(self, job_id: str) -> str:
        """Return the text of the limit for which a queued job waits."""
        text = await self._link.ask("GET", self._link.keys.ours("job", job_id))
        if text is None:
            return ""
        places = self._link.keys.ours("places", Record(job_id, text).type)
        held = await self._link.ask("HGET", places, job_id) or b""
        return held.split(b" ", 3)[3].decode() if held.startswith(b"?") else ""


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _queue_view(
    row: list[Any], claiming: Mapping[str, int], quiet: Mapping[str, int], now: int
) -> QueueView:
    (
        name,
        sizes,
        intake,
        stats,
        paused_by,
        why,
        intake_paused,
        due,
        oldest,
        wrong_types,
        overdue,
        ago,
        limits,
        limited,
        keyed,
        suspects,
    ) = row
    type = name.decode()
    counters = dict(zip(stats[::2], stats[1::2], strict=True))
    counts = {STATE_OF[code].value: size for code, size in enumerate(sizes, 1) if code in STATE_OF}
    return QueueView(
        type=type,
        counts=QueueCounts(**counts, intake=intake),
        counters={name: _number(counters.get(name.encode(), b"")) for name in COUNTERS},
        oldest_queued_at=int(oldest) or None,
        next_due_at=int(due) or None,
        paused=paused_by is not None,
        paused_by=(paused_by or b"").decode(),
        pause_reason=why.decode(),
        served=type in claiming,
        quiet_workers=quiet.get(type, 0),
        intake_paused=intake_paused == b"1",
        faults=faults_of(wrong_types),
        overdue=overdue,
        overdue_since=now - int(ago) if overdue else None,
        limits=read_limits(limits),
        keyed_limits=with_keys(keyed),
        limited=limited,
        suspects=suspects,
    )


def _number(text: bytes) -> int:
    """Return a counter of a hash that other programs may write to."""
    return int(text) if text.lstrip(b"-").isdigit() else 0


def _stored_group(row: list[Any]) -> StoredGroup:
    cause, count, first_at, last_at, next_at, newest_id, text, *recent = row
    newest = Record(newest_id.decode(), text).view()
    due = int(next_at) if next_at else None
    return StoredGroup(
        cause.decode(), count, int(first_at), int(last_at), due, newest, tuple(recent)
    )


def _detail(job_id: str, text: bytes | None, lines: list[Any]) -> JobDetail | None:
    if text is None:
        return None

    def read() -> JobDetail | None:
        record = Record(job_id, text)
        if record.is_discarded:
            return None
        return record.detail(tuple(_progress_view(*entry) for entry in lines))

    return readable(job_id, read)


def _progress_view(number: bytes, fields: dict[bytes, bytes]) -> ProgressView:
    share = fields[b"s"]
    return ProgressView(
        number=int(number.partition(b"-")[0]),
        at=int(fields[b"a"]),
        share=float(share) if share else None,
        message=fields[b"m"].decode(),
        log=fields.get(b"l") == b"1",
    )


def _worker_view(
    info: bytes, running: Sequence[tuple[str, int]], request: bytes | None
) -> WorkerView:
    seen, _, registration = info.partition(b" ")
    return worker_view(registration, running, int(seen), request)
