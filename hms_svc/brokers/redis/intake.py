"""The intake: items that producers in any language LPUSH become records."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Final

from redis.exceptions import RedisError

from hms_svc.brokers.intake import KEPT_OF_OVERSIZED, READ_MOST, Item, KeptBytes
from hms_svc.brokers.redis import job_calls
from hms_svc.brokers.redis.acceptance import (
    RefusedItem,
    draft_row,
    is_same,
    read_all,
    refused_for_id,
    refused_for_key,
)
from hms_svc.brokers.redis.clients import BLOCK_SECONDS
from hms_svc.brokers.redis.exchange import end_tasks
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.redis.list_waiter import Arrivals
from hms_svc.brokers.redis.poll_pace import pause_if_early
from hms_svc.brokers.redis.record import Record, draft_of
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.job import Job

log: Final = logging.getLogger("hms_svc.brokers")
MOST_WATCHED: Final = 16
_POLL_SECONDS: Final = 0.1
_BROKEN_SECONDS: Final = 5.0
_STEPS_OF_ONE: Final = 20
"""Steps for one type before the next, in a loop over many types."""
_AT_ONCE: Final = 100
_BYTES_AT_ONCE: Final = 1024 * 1024
Known = dict[tuple[str, bytes], bool]
"""For jobs whose id is known, by id and data: whether the record is the same job."""


class Intake:
    """Watches the lists of the served types, with one blocking connection each for at most 16.

    `complete` adds to each job what its type declares.
    """

    def __init__(self, link: Link, complete: Callable[[Job], Job] | None = None) -> None:
        self._link = link
        self._complete = complete
        self._watched: set[str] = set()
        self._polled: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        self._arrivals = Arrivals(link)

    def watch(self, types: Iterable[str]) -> None:
        """Start to process items pushed for these types."""
        for type in sorted(set(types) - self._watched - self._polled):
            if len(self._watched) < MOST_WATCHED:
                self._watched.add(type)
                self._start(self._watch(type), f"intake-{type}")
            else:
                if not self._polled:
                    self._start(self._poll(), "intake-rest")
                self._polled.add(type)

    async def close(self) -> None:
        """Stop watching."""
        self._closed = True
        await end_tasks(self._tasks)
        self._tasks.clear()
        self._watched.clear()
        self._polled.clear()
        self._closed = False

    async def absorb(self, type: str) -> bool:
        """Make records of all items of a type; return True if there were any."""
        steps = total = await self._absorb_steps(type)
        while steps == _STEPS_OF_ONE:
            steps = await self._absorb_steps(type)
        return total > 0

    async def _absorb_steps(self, type: str) -> int:
        """Make records of items of a type in a bounded number of steps; return how many were taken."""
        steps = 0
        for name in self._lists(type):
            while steps < _STEPS_OF_ONE and await self._absorb_some(name, type):
                steps += 1
        return steps

    async def absorb_where_any(self, types: Sequence[str], until: float = math.inf) -> bool:
        """Check many lists in one round trip and absorb some of each; return whether more may wait.

        Each list gets a bounded number of steps, so that a flood in one does not delay the others.
        After `until` (monotonic seconds) the remaining ones wait for the next check.
        """
        lengths = await asyncio.gather(
            *(self._link.ask("LLEN", name) for type in types for name in self._lists(type)),
            return_exceptions=True,
        )
        waiting = [
            type
            for type, taken, pushed in zip(types, lengths[::2], lengths[1::2], strict=True)
            if any(isinstance(length, int) and length > 0 for length in (taken, pushed))
        ]
        more = False
        for type in random.sample(waiting, len(waiting)):
            if time.monotonic() >= until:
                return True
            more = await self._absorb_or_report(type) or more
        return more

    async def _absorb_or_report(self, type: str) -> bool:
        """Absorb some items of a type; an error is logged and does not affect other types."""
        try:
            return await self._absorb_steps(type) == _STEPS_OF_ONE
        except BrokerUnavailable:
            raise
        except Exception:
            log.exception("the intake of %s cannot be read", type)
            return False

    def _lists(self, type: str) -> tuple[str, str]:
        """Return the two lists of a type: items being processed, and pushed items."""
        return self._link.keys.ours("taken", type), self._link.keys.intake(type)

    def _start(self, loop: Coroutine[None, None, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(loop, name=name))

    async def _watch(self, type: str) -> None:
        """Wait for an item, then absorb all; a cancelled wait leaves the item in our `taken` list."""
        target, source = self._lists(type)
        started = -math.inf
        while not self._closed:
            try:
                if not await self.absorb(type):
                    await pause_if_early(started, BLOCK_SECONDS)
                started = time.monotonic()
                await self._arrivals.next(source, target, int(BLOCK_SECONDS))
            except (RedisError, OSError, BrokerUnavailable):
                await asyncio.sleep(_POLL_SECONDS)
            except Exception:
                log.exception("the intake of %s cannot be read", type)
                await asyncio.sleep(_BROKEN_SECONDS)

    async def _poll(self) -> None:
        while not self._closed:
            more = False
            with suppress(BrokerUnavailable):
                more = await self.absorb_where_any(sorted(self._polled))
            await asyncio.sleep(0 if more else _POLL_SECONDS)

    async def _absorb_some(self, name: str, type: str) -> bool:
        """Absorb some items from the right end of a list; return False if there are none."""
        items = await self._rightmost(name)
        if not items:
            return False
        now = self._link.clock.now_ms()
        read = [self._completed(found) for found in await read_all(type, items, now)]
        known = await self._known([job for job in read if isinstance(job, Job)])
        holders: dict[int, str] = {}
        while True:
            rows = [
                _row(item, _decide(found, item, known, holders.get(number), now), now)
                for number, (item, found) in enumerate(zip(items, read, strict=True))
            ]
            absorbed = await self._link.run(job_calls.absorb(name, type, rows))
            if absorbed.why != "unique":
                return True
            items, read = items[absorbed.taken :], read[absorbed.taken :]
            holders = {0: absorbed.holder}

    def _completed(self, found: Job | RefusedItem) -> Job | RefusedItem:
        if self._complete is None or isinstance(found, RefusedItem):
            return found
        return self._complete(found)

    async def _rightmost(self, name: str) -> list[Item]:
        """Return some of the rightmost items, the last one first, and fewer if they are large.

        Of an item far beyond the limit only the part that is stored is fetched.
        """
        items = await self._link.run(
            job_calls.rightmost(
                name,
                number=_AT_ONCE,
                bytes_at_once=_BYTES_AT_ONCE,
                largest=READ_MOST,
                kept=KEPT_OF_OVERSIZED,
            )
        )
        return [item if isinstance(item, bytes) else _oversized(*item) for item in items]

    async def _known(self, jobs: Sequence[Job]) -> Known:
        """Read the records of known ids, one at a time because they may be large."""
        names = [self._link.keys.ours("job", job.id) for job in jobs]
        lengths = await self._link.ask_all([("STRLEN", name) for name in names])
        known: Known = {}
        for job, name, length in zip(jobs, names, lengths, strict=True):
            if length and (text := await self._link.ask("GET", name)) is not None:
                known[job.id, job.data] = is_same(job, Record(job.id, text))
        return known


def _oversized(length: int, head: bytes) -> KeptBytes:
    return KeptBytes(head, length, f"sha256_of_beginning:{hashlib.sha256(head).hexdigest()}")


def _decide(
    found: Job | RefusedItem, item: Item, known: Known, holder: str | None, now: int
) -> Job | RefusedItem | str:
    """Return what an item becomes: a job, a dead letter, or only the id if the job is already known."""
    if isinstance(found, RefusedItem):
        return found
    same = known.get((found.id, found.data))
    if same is not None:
        return found.id if same else refused_for_id(found, item, now)
    return refused_for_key(found, holder, now) if holder is not None else found


def _mark(item: Item) -> str:
    """Return the text by which the script `absorb` recognizes an item."""
    head = item.raw if isinstance(item, KeptBytes) else item
    digest = hashlib.sha1(head, usedforsecurity=False).hexdigest()
    return f"{item.length} {digest}" if isinstance(item, KeptBytes) else digest


def _row(item: Item, found: Job | RefusedItem | str, now: int) -> job_calls.AbsorbedRow:
    digest = _mark(item)
    if isinstance(found, str):
        return digest, "known", found, ""
    if isinstance(found, RefusedItem):
        _, code, job_id, record, named, at, event_data = found.row()
        return digest, "refuse", job_id, code, record, named, at, event_data
    draft = draft_of(found, now)
    job_id, *further = draft_row(found, draft)
    return digest, "accept", job_id, draft.state, *further
