"""Counters: inserted as deltas, without contention, and folded into totals later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select, union_all

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

_HOUR_MS = 3_600_000
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


def fold(connection: Connection, most: int) -> int:
    """Fold at most `most` deltas into the totals; return their number."""
    sums: Counter[tuple[str, int]] = Counter()
    numbers = []
    for number, metric, hour, n in connection.execute(_OLDEST, {"most": most}):
        sums[metric, hour] += n
        numbers.append(number)
    _ADD_UP.run(connection, [(metric, hour, n) for (metric, hour), n in sorted(sums.items())])
    connection.execute(_DROP, {"values": numbers})
    return len(numbers)


def read_totals(connection: Connection) -> dict[str, int]:
    """Return the totals by metric, including deltas that are not folded yet."""
    return {metric: int(n) for metric, n in connection.execute(_BY_METRIC)}
