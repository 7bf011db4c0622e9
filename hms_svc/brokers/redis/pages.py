"""Walks over the jobs in Redis for pages: by id, by failure group, by batch, or state by state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Final

from hms_svc.brokers.chunks import in_slices
from hms_svc.brokers.codes import CODE_OF
from hms_svc.brokers.damaged_records import readable
from hms_svc.brokers.job_pages import NAMED_AT_ONCE, SLICE, Slices, Step, types_that_may_match
from hms_svc.brokers.redis import operator_calls
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.redis.record import Record
from hms_svc.domain.filter import Filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobView

Key = tuple[int, float, str]
"""The position where a page ended: rank of the state, score, id."""
Group = tuple[int, frozenset[State], list[str]]
"""Rank, the states that belong to it, and the indexes that are merged."""
_ANY: Final = frozenset(State)
_INDEXES_AT_ONCE: Final = 500
"""Indexes that one script merges."""
_RECORDS_OF_A_PART: Final = 100
_WINDOW: Final = 500
"""Records that one script checks against a prefilter: some milliseconds, in which no other client is served."""


class RedisWalks:
    """Yields jobs with their positions, newest first within a state, reading records in slices."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def types(self) -> list[str]:
        """Return every known type, sorted."""
        found = await self._link.ask("SMEMBERS", self._link.keys.ours("job-types"))
        return sorted(type.decode() for type in found if type != b"!")

    async def over(
        self, where: Filter, after: Key | None, slices: Slices
    ) -> AsyncIterator[Step[Key]]:
        """Walk over all jobs after a position that may match, along the narrowest index."""
        if (ids := where.ids()) is not None:
            steps = self._named(ids, after)
        elif (causes := where.causes()) is not None:
            names = [self._link.keys.ours("cause", cause) for cause in causes]
            steps = self._groups([(0, _ANY, names)], after, slices)
        elif (batches := where.batches()) is not None:
            names = [self._link.keys.ours("members", batch) for batch in batches]
            steps = self._groups([(0, _ANY, names)], after, slices)
        else:
            steps = self._groups(await self._by_state(where), after, slices)
        async for step in steps:
            yield step

    async def _named(self, ids: tuple[str, ...], after: Key | None) -> AsyncIterator[Step[Key]]:
        left = [job_id for job_id in ids if after is None or job_id > after[2]]
        for some in in_slices(left, NAMED_AT_ONCE):
            names = [self._link.keys.ours("job", job_id) for job_id in some]
            for job_id, text in zip(some, await self._link.ask("MGET", *names), strict=True):
                view = readable(job_id, partial(_view, job_id, text, _ANY))
                if view is not None:
                    yield Step((0, 0.0, job_id), view)

    async def _by_state(self, where: Filter) -> list[Group]:
        types = await types_that_may_match(where, await self.types())
        wanted = where.states()
        groups = []
        for rank, state in enumerate(CODE_OF):
            if types and (wanted is None or state in wanted):
                further = ["suspects", "limited"] if state is State.QUEUED else []
                names = [state.value, *further]
                indexes = [self._link.keys.index(name, type) for name in names for type in types]
                groups.append((rank, frozenset({state}), indexes))
        return groups

    async def _groups(
        self, groups: Sequence[Group], after: Key | None, slices: Slices
    ) -> AsyncIterator[Step[Key]]:
        """Yield the jobs of one group after another."""
        if sum(len(names) for _, _, names in groups) <= _INDEXES_AT_ONCE:
            async for step in self._in_one(groups, after, slices):
                yield step
            return
        for group in groups:
            if after is None or group[0] >= after[0]:
                behind = after if after and group[0] == after[0] else None
                async for step in self._merged(group, behind, slices):
                    yield step

    async def _merged(
        self, group: Group, after: Key | None, slices: Slices
    ) -> AsyncIterator[Step[Key]]:
        """Yield the jobs of a group with many indexes in order; each index is read in parts."""
        rank, states, names = group
        starts = range(0, len(names), _INDEXES_AT_ONCE)
        parts = [names[first : first + _INDEXES_AT_ONCE] for first in starts]
        walks = [
            self._in_one([(rank, states, some)], after, slices, most=_RECORDS_OF_A_PART)
            for some in parts
        ]
        heads = {number: await anext(walk, None) for number, walk in enumerate(walks)}
        while ahead := {number: step for number, step in heads.items() if step is not None}:
            best = max(ahead, key=lambda number: ahead[number].place[1:])
            yield ahead[best]
            heads = {**ahead, best: await anext(walks[best], None)}

    async def _in_one(
        self, groups: Sequence[Group], after: Key | None, slices: Slices, most: int = SLICE
    ) -> AsyncIterator[Step[Key]]:
        """Yield the jobs of each group in turn; one script reads as many groups as fill a slice."""
        skipped = 0
        while left := [group for group in groups if after is None or group[0] >= after[0]]:
            begins_behind = after is not None and left[0][0] == after[0]
            start = (after[1], after[2]) if after and begins_behind else None
            names = [group[2] for group in left]
            limit = min(slices.size, most)
            window = limit if slices.prefilter is None else min(slices.window, _WINDOW)
            rows = await self._link.run(
                operator_calls.slice_of(
                    names, limit=limit, after=start, window=window, prefilter=slices.prefilter
                )
            )
            if not rows:
                return
            slices.note_passed(len(rows), len(rows) + sum(row.skipped for row in rows))
            for row in rows:
                rank, states, _ = left[row.group]
                after = (rank, row.score, row.job_id)
                view = readable(row.job_id, partial(_view, row.job_id, row.text, states))
                skipped += row.skipped
                if view is not None:
                    yield Step(after, view, skipped)
                    skipped = 0


def _view(job_id: str, text: bytes | None, states: frozenset[State]) -> JobView | None:
    record = Record(job_id, text) if text else None
    return record.view() if record is not None and record.state in states else None
