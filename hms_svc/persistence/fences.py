"""The highest fence of each job: a claim with a lower fence has lost the job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.sql.dml import UpdateBase

from hms_svc.persistence.statements import POSTGRESQL, Bulk, Query, among, insert_into
from hms_svc.persistence.tables import job_fences

_FIELDS: Final = ("job_id", "fence", "at")


def _raise(dialect: str) -> UpdateBase:
    rows = insert_into(dialect, job_fences, _FIELDS)
    if dialect == POSTGRESQL:  # it returns all of the rows, once it has locked them
        highest = func.greatest(rows.excluded.fence, job_fences.c.fence)
        raised = rows.on_conflict_do_update(
            index_elements=["job_id"], set_={"fence": highest, "at": rows.excluded.at}
        )
    else:  # rows that do not rise are not written, and not returned
        raised = rows.on_conflict_do_update(
            index_elements=["job_id"],
            set_={"fence": rows.excluded.fence, "at": rows.excluded.at},
            where=rows.excluded.fence > job_fences.c.fence,
        )
    return raised.returning(job_fences.c.job_id, job_fences.c.fence)


_RAISE: Final = Bulk(_raise, _FIELDS)
_FENCES: Final = Query(
    select(job_fences.c.job_id, job_fences.c.fence).where(among(job_fences.c.job_id))
)
_OLDEST: Final = select(job_fences.c.number).order_by(job_fences.c.number).limit(bindparam("most"))
_HIGHEST: Final = select(func.coalesce(func.max(job_fences.c.fence), 0))
_FORGET: Final = delete(job_fences).where(
    job_fences.c.number.in_(_OLDEST), job_fences.c.at < bindparam("before")
)


def raise_fences(
    connection: Connection, claims: Iterable[tuple[str, int]], at: int
) -> dict[str, int]:
    """Store the higher of the stored and the given fence for each job; return and lock it."""
    highest: dict[str, int] = {}
    for job_id, fence in claims:
        highest[job_id] = max(fence, highest.get(job_id, fence))
    rows = [(job_id, highest[job_id], at) for job_id in sorted(highest)]
    found: dict[str, int] = dict(_RAISE.run(connection, rows))
    if len(found) < len(highest):
        found.update(_FENCES.run(connection, values=highest.keys() - found.keys()))
    return found


def highest_fence(connection: Connection) -> int:
    """Return the highest fence of all jobs, 0 if there is none."""
    return int(connection.execute(_HIGHEST).scalar_one())


def forget_fences(connection: Connection, *, before: int, most: int) -> int:
    """Check the `most` oldest rows and remove those last raised before a time (Unix ms)."""
    return connection.execute(_FORGET, {"before": before, "most": most}).rowcount
