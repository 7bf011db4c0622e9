"""Reports: the recent jobs of each user, to limit floods of reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, Connection, bindparam, delete, func, select, union_all

from hms_svc.persistence.engine import Engine
from hms_svc.persistence.statements import Query, among, insert_or_ignore
from hms_svc.persistence.tables import reports
from hms_svc.ports.stores import ReportCount

_RECORD: Final = insert_or_ignore(reports, "user_id", "job_id", "at", key=("user_id", "job_id"))
_COUNTS: Final = Query(
    union_all(
        select(reports.c.user_id, bindparam("latest", type_=BigInteger), func.count())
        .where(among(reports.c.user_id), reports.c.at >= bindparam("latest"))
        .group_by(reports.c.user_id),
        select(reports.c.user_id, reports.c.at, func.count())
        .where(
            among(reports.c.user_id),
            reports.c.at >= bindparam("earliest"),
            reports.c.at < bindparam("latest"),
        )
        .group_by(reports.c.user_id, reports.c.at),
    )
)
"""By user and moment; two parts, because both read an index in its order and sort nothing."""
_OTHERS: Final = select(func.count()).where(
    reports.c.user_id == bindparam("user_id"),
    reports.c.at >= bindparam("since"),
    reports.c.job_id != bindparam("job_id"),
)
_OLDEST: Final = select(reports.c.number).order_by(reports.c.number).limit(bindparam("most"))
_FORGET: Final = delete(reports).where(
    reports.c.number.in_(_OLDEST), reports.c.at < bindparam("before")
)


class SqlReports:
    """Implements ports.stores.ReportStore."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def count(self, reports: Sequence[ReportCount]) -> list[int]:
        if not reports:
            return []
        return await self._engine.write_apart(lambda on: _count(on, reports))

    async def count_others(self, query: ReportCount) -> int:
        values = {"user_id": query.user_id, "since": query.since, "job_id": query.job_id}
        return await self._engine.read(lambda on: int(on.execute(_OTHERS, values).scalar_one()))


def _count(connection: Connection, queries: Sequence[ReportCount]) -> list[int]:
    """Record and count; see ReportStore.count.

    The `since` of the queries differ by milliseconds: the rows of a user from the latest on
    are counted together, and those between the earliest and the latest for each moment.
    """
    _RECORD.run(connection, [(one.user_id, one.job_id, one.at) for one in queries])
    users = {one.user_id for one in queries}
    earliest, latest = min(one.since for one in queries), max(one.since for one in queries)
    counts: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    every = _COUNTS.run(connection, values=users, earliest=earliest, latest=latest)
    for user, moment, count in every:
        counts[user].append((moment, count))
    return [
        sum(count for moment, count in counts[one.user_id] if moment >= one.since)
        for one in queries
    ]


def forget_reports(connection: Connection, *, before: int, most: int) -> int:
    """Check the `most` oldest rows and remove those from before a time (Unix ms); return how many."""
    return connection.execute(_FORGET, {"before": before, "most": most}).rowcount
