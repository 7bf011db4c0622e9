"""Counters: inserted as deltas, without contention, and folded into totals later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select, union_all

from hms_svc.persistence.accepted_keys import forget_keys
from hms_svc.persistence.engine import Engine
from hms_svc.persistence.fences import forget_fences
from hms_svc.persistence.reports import forget_reports
from hms_svc.persistence.statements import (
    Bulk,
    DialectInsert,
    Part,
    among,
    insert_into,
    insert_rows,
)
from hms_svc.persistence.tables import analytics_deltas as deltas
from hms_svc.persistence.tables import analytics_totals as totals
from hms_svc.ports.clock import Clock

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_REPORTS_KEPT_MS: Final = _DAY_MS
_KEYS_KEPT_MS: Final = _DAY_MS
_FENCES_KEPT_MS: Final = 30 * _DAY_MS
"""Much longer than any lease: the lease of a worker that was suspended for a month has expired."""
_MOST: Final = 1_000
"""Rows of each table that one transaction handles."""
_ROUNDS: Final = 20
_FIELDS: Final = ("metric", "hour", "n")
_INSERT: Final = insert_rows(deltas, *_FIELDS)
_OLDEST: Final = (
    select(deltas.c.number, deltas.c.metric, deltas.c.hour, deltas.c.n)
    .order_by(deltas.c.number)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_DROP: Final = delete(deltas).where(among(deltas.c.number))
_EVERYTHING = union_all(
    select(totals.c.metric, totals.c.n), select(deltas.c.metric, deltas.c.n)
).subquery()
_BY_METRIC = (
    select(_EVERYTHING.c.metric, func.sum(_EVERYTHING.c.n))
    .group_by(_EVERYTHING.c.metric)
    .order_by(_EVERYTHING.c.metric)
)


def _add_up(dialect: str) -> DialectInsert:
    one = insert_into(dialect, totals, _FIELDS)
    return one.on_conflict_do_update(
        index_elements=["metric", "hour"], set_={"n": totals.c.n + one.excluded.n}
    )


_ADD_UP: Final = Bulk(_add_up, _FIELDS)


def of_case(metric: str, kind: str, at: int) -> list[tuple[str, int]]:
    """Return the counters, as (metric, hour), that one act on a case of this kind increments."""
    hour = at // _HOUR_MS
    return [(metric, hour), (f"{metric}.{kind}", hour)]


def increments(counts: Mapping[tuple[str, int], int]) -> Part:
    """Return the insertion of deltas for counters named by (metric, hour)."""
    return _INSERT, [(metric, hour, n) for (metric, hour), n in counts.items()]


class SqlAnalytics:
    """Implements ports.stores.AnalyticsStore."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def fold(self) -> int:
        now = self._clock.now_ms()
        total = 0
        for _ in range(_ROUNDS):
            folded, removed = await self._engine.write(lambda on: _fold_and_sweep(on, now))
            total += folded
            if max(folded, removed) < _MOST // 2:
                break
        return total

    async def totals(self) -> dict[str, int]:
        return await self._engine.read(
            lambda on: {metric: int(n) for metric, n in on.execute(_BY_METRIC)}
        )


def _fold_and_sweep(connection: Connection, now: int) -> tuple[int, int]:
    """Return the number of deltas folded, and the largest number of rows removed from a table."""
    of_reports = forget_reports(connection, before=now - _REPORTS_KEPT_MS, most=_MOST)
    of_fences = forget_fences(connection, before=now - _FENCES_KEPT_MS, most=_MOST)
    of_keys = forget_keys(connection, before=now - _KEYS_KEPT_MS, most=_MOST)
    return _fold(connection), max(of_reports, of_fences, of_keys)


def _fold(connection: Connection) -> int:
    sums: Counter[tuple[str, int]] = Counter()
    numbers = []
    for number, metric, hour, n in connection.execute(_OLDEST, {"most": _MOST}):
        sums[metric, hour] += n
        numbers.append(number)
    _ADD_UP.run(connection, [(metric, hour, n) for (metric, hour), n in sorted(sums.items())])
    connection.execute(_DROP, {"values": numbers})
    return len(numbers)
