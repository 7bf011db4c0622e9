"""Frees memory in a Redis that fills up: the finished jobs and events that may be removed first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hms_svc.brokers.chunks import chunks, in_slices
from hms_svc.brokers.redis import bus_calls, operator_calls
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.views import JobDetail
from hms_svc.ports.inspection import Capacity, Inspection

LEAST_AGE_MS: Final = 60_000
"""Younger jobs and events stay: a job so that a producer that enqueues it again after a lost answer gets
its state; an event because followers without a group may not have read it."""
_MOST_GROUPS_AT_ONCE: Final = 1000
_NO_LIMIT_OF_AGE: Final = 0
End = tuple[float, str, str]
"""When a job ended, its id and its type."""


class RedisEviction:
    """Implements `ports.control.Eviction`."""

    def __init__(self, link: Link, inspection: Inspection) -> None:
        self._link = link
        self._inspection = inspection
        self.least_age_ms = LEAST_AGE_MS

    async def capacity(self) -> Capacity | None:
        """Return the used memory; None if the server has no `maxmemory`."""
        return capacity_of(await self._link.ask("INFO", "memory"))

    async def ended_first(self, *, limit: int) -> list[JobDetail]:
        """Return completed jobs, then cancelled ones, no more than fit into one answer."""
        for state, code in (("completed", 6), ("cancelled", 9)):
            sized = await self._with_sizes(await self._ends(state, limit), code)
            for some in chunks(sized, lambda pair: pair[1]):
                known = await self._inspection.details([job_id for job_id, _ in some])
                if readable := [detail for detail in known if detail is not None]:
                    return readable
        return []

    async def _with_sizes(self, ends: Sequence[End], code: int) -> list[tuple[str, int]]:
        """Return ids with the sizes of their records; remove ids without a record from the index."""
        commands = [("STRLEN", self._link.keys.ours("job", job_id)) for _, job_id, _ in ends]
        sizes = await self._link.ask_all(commands)
        sized = [(job_id, int(size)) for (_, job_id, _), size in zip(ends, sizes, strict=True)]
        gone = [end for end, (_, size) in zip(ends, sized, strict=True) if not size]
        if gone:
            rows = [(job_id, type, code) for _, job_id, type in gone]
            await self._link.run(operator_calls.remove(rows))
        return [(job_id, size) for job_id, size in sized if size]

    async def _ends(self, state: str, limit: int) -> list[End]:
        """Return the jobs of a state that ended first, over all types, if they are old enough."""
        ends: list[End] = []
        newest = self._link.clock.now_ms() - self.least_age_ms
        for types in in_slices(await self._inspection.types()):
            commands = [
                ("ZRANGE", self._link.keys.index(state, type), 0, limit - 1, "WITHSCORES")
                for type in types
            ]
            for type, rows in zip(types, await self._link.ask_all(commands), strict=True):
                pairs = zip(rows[::2], rows[1::2], strict=True)
                ends += [
                    (float(score), job_id.decode(), type)
                    for job_id, score in pairs
                    if float(score) <= newest
                ]
            ends = sorted(ends)[:limit]
        return ends

    async def trim_handled(self, *, limit: int) -> int:
        """Remove the oldest events before the first that some group has not handled."""
        young = self._link.clock.now_ms() - self.least_age_ms
        below = await self._handled_below()
        size = await self._link.ask("XLEN", self._link.keys.ours("bus"))
        return await self._link.run(
            bus_calls.trim_bus(
                most=size, before=_NO_LIMIT_OF_AGE, limit=limit, below=below, settled=young
            )
        )

    async def _handled_below(self) -> int:
        """Return the position below which all consumer groups have handled all events."""
        keys, link = self._link.keys, self._link
        head = await link.ask("XREVRANGE", keys.ours("bus"), "+", "-", "COUNT", 1)
        lowest = int(head[0][0].partition(b"-")[0]) if head else 0
        prefix, cursor = keys.ours("bus", "group", ""), b"0"
        while True:
            cursor, names = await link.ask(
                "SCAN", cursor, "MATCH", f"{_literal(prefix)}*", "COUNT", _MOST_GROUPS_AT_ONCE
            )
            for name in names:
                group = name.decode().removeprefix(prefix)
                pending = keys.ours("bus", "pending", group)
                given, waiting = await link.ask_all([("GET", name), ("ZRANGE", pending, 0, -1)])
                lowest = min([lowest, int(given or 0) + 1, *map(int, waiting)])
            if int(cursor) == 0:
                return lowest


def capacity_of(facts: Mapping[str, Any]) -> Capacity | None:
    """Return the memory in INFO as Redis counts it towards its limit; None without a limit."""
    limit = int(facts.get("maxmemory", 0))
    if not limit:
        return None
    not_counted = int(facts.get("mem_not_counted_for_evict", 0))
    return Capacity(used=int(facts.get("used_memory", 0)) - not_counted, limit=limit)


def _literal(prefix: str) -> str:
    """Escape the pattern characters of SCAN, in case a namespace contains one."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in prefix)
