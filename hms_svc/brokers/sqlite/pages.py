"""Walks over the jobs of the queue file for pages: by id, by failure group, by batch, or state by state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from hms_svc.brokers.chunks import MOST_BYTES, in_slices
from hms_svc.brokers.codes import CODE_OF
from hms_svc.brokers.job_pages import NAMED_AT_ONCE, WINDOW, Slices, Step, types_that_may_match
from hms_svc.brokers.sqlite.prefilter import EVERY_ROW, RowCondition
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.brokers.sqlite.views import job_view
from hms_svc.domain.filter import Filter
from hms_svc.domain.strict_json import encode

SQL: Final = statements_of("operator.sql")
Key = tuple[int, int, int]
"""The position where a page ended: rank of the state, position and row, both negated to ascend."""
_FIRST: Final = (2**62, 2**62)


class SQLiteWalks:
    """Yields jobs with their positions, newest first within a state, reading records in slices."""

    def __init__(self, file: QueueFile) -> None:
        self._file = file

    async def over(
        self, where: Filter, after: Key | None, slices: Slices
    ) -> AsyncIterator[Step[Key]]:
        """Walk over all jobs after a position that may match, along the narrowest index."""
        if (ids := where.ids()) is not None:
            steps = self._named(ids, after)
        elif (causes := where.causes()) is not None:
            bounds = {"causes": _json(causes)}
            steps = self._slices("slice_of_causes", bounds, 0, after, slices)
        elif (batches := where.batches()) is not None:
            steps = self._by_state(
                "slice_of_batches", {"batches": _json(batches)}, where, after, slices
            )
        else:
            steps = self._states(where, after, slices)
        async for step in steps:
            yield step

    async def _named(self, ids: tuple[str, ...], after: Key | None) -> AsyncIterator[Step[Key]]:
        """Yield the jobs with these ids; the position of each is the index of its id."""
        places = {job_id: number for number, job_id in enumerate(ids)}
        left = ids[after[2] + 1 :] if after else ids
        for some in in_slices(left, NAMED_AT_ONCE):
            for row in await self._file.fetch(SQL["named"], {"ids": _json(tuple(some))}):
                yield Step((0, 0, places[row["id"]]), job_view(row))

    async def _states(
        self, where: Filter, after: Key | None, slices: Slices
    ) -> AsyncIterator[Step[Key]]:
        rows = await self._file.fetch(SQL["queues"])
        fitting = set(await types_that_may_match(where, [row["type"] for row in rows]))
        queues = tuple(row["queue"] for row in rows if row["type"] in fitting)
        if len(queues) == 1:
            steps = self._by_state("slice_of_queue", {"queue": queues[0]}, where, after, slices)
        else:
            steps = self._by_state("slice", {"queues": _json(queues)}, where, after, slices)
        async for step in steps:
            yield step

    async def _by_state(
        self,
        statement: str,
        bounds: Mapping[str, Any],
        where: Filter,
        after: Key | None,
        slices: Slices,
    ) -> AsyncIterator[Step[Key]]:
        wanted = where.states()
        for rank, (state, code) in enumerate(CODE_OF.items()):
            if (wanted is not None and state not in wanted) or (after and rank < after[0]):
                continue
            start = after if after and rank == after[0] else None
            async for step in self._slices(
                statement, {**bounds, "state": code}, rank, start, slices
            ):
                yield step

    async def _slices(
        self,
        statement: str,
        bounds: Mapping[str, Any],
        rank: int,
        after: Key | None,
        slices: Slices,
    ) -> AsyncIterator[Step[Key]]:
        position, row_number = (-after[1], -after[2]) if after else _FIRST
        condition = RowCondition(slices.prefilter)
        text = SQL[statement].replace(f"({EVERY_ROW})", f"({condition.text})")
        widest = WINDOW // max(1, condition.data_checks)
        while True:
            window = min(slices.window, widest)
            place = {"position": position, "row": row_number, "window": window}
            most = {"limit": slices.size, "bytes": MOST_BYTES}
            rows = await self._file.fetch(text, {**bounds, **condition.values, **place, **most})
            before = 0
            for row in rows:
                position, row_number = row["position"], row["row"]
                skipped, before = row["number"] - before - 1, row["number"]
                yield Step((rank, -position, -row_number), job_view(row), skipped)
            if not rows or rows[-1]["number"] == rows[-1]["seen"] < window:
                return
            slices.note_passed(len(rows), rows[-1]["number"])


def _json(values: tuple[Any, ...]) -> str:
    return encode(list(values)).decode()
