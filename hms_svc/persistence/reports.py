"""Reports: which jobs a user submitted lately, so that nobody floods the city."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select

from hms_svc.persistence.statements import among, or_ignore
from hms_svc.persistence.tables import reports
from hms_svc.ports.stores import ReportCount

_RECORD: Final = or_ignore(reports, "user_id", "job_id", "at", key=("user_id", "job_id"))
_COUNTS: Final = (
    select(reports.c.user_id, func.count())
    .where(among(reports.c.user_id), reports.c.at >= bindparam("latest"))
    .group_by(reports.c.user_id)
)
_MOMENTS: Final = select(reports.c.user_id, reports.c.at).where(
    among(reports.c.user_id),
    reports.c.at >= bindparam("earliest"),
    reports.c.at < bindparam("latest"),
)
_OTHERS: Final = select(func.count()).where(
    reports.c.user_id == bindparam("user_id"),
    reports.c.at >= bindparam("since"),
    reports.c.job_id != bindparam("job_id"),
)
_OLDEST: Final = select(reports.c.number).order_by(reports.c.number).limit(bindparam("most"))
_FORGET: Final = delete(reports).where(
    reports.c.number.in_(_OLDEST), reports.c.at < bindparam("before")
)


def count_reports(connection: Connection, asked: Sequence[ReportCount]) -> list[int]:
    """Record each job once as a report of its user, and count the user's since then.

    The questions of a group begin milliseconds apart: counted is from the
    latest beginning on, and only what lies between is fetched.
    """
    _RECORD.run(connection, [(one.user_id, one.job_id, one.at) for one in asked])
    users = {one.user_id for one in asked}
    earliest, latest = min(one.since for one in asked), max(one.since for one in asked)
    counts: Counter[str] = Counter()
    for user, number in connection.execute(_COUNTS, {"values": users, "latest": latest}):
        counts[user] = number
    moments: defaultdict[str, list[int]] = defaultdict(list)
    if earliest < latest:
        between = {"values": users, "earliest": earliest, "latest": latest}
        for user, at in connection.execute(_MOMENTS, between):
            moments[user].append(at)
    return [
        counts[one.user_id] + sum(at >= one.since for at in moments.get(one.user_id, ()))
        for one in asked
    ]


def count_other_reports(connection: Connection, query: ReportCount) -> int:
    """Count the user's reports since then, without the job's own."""
    values = {"user_id": query.user_id, "since": query.since, "job_id": query.job_id}
    found: int = connection.execute(_OTHERS, values).scalar_one()
    return found


def forget_reports(connection: Connection, *, before: int, most: int) -> int:
    """Check the rows that were made first and remove those from before then (Unix ms)."""
    return connection.execute(_FORGET, {"before": before, "most": most}).rowcount
