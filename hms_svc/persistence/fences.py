"""The highest fence of each job: a claim with a lower fence has lost the job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.sql.dml import UpdateBase

from hms_svc.persistence.statements import POSTGRESQL, Bulk, insert_into
from hms_svc.persistence.tables import job_fences

_FIELDS: Final = ("job_id", "fence", "at")


def _raise(dialect: str) -> UpdateBase:
    rows = insert_into(dialect, job_fences, _FIELDS)
    greater = func.greatest if dialect == POSTGRESQL else func.max
    highest = greater(rows.excluded.fence, job_fences.c.fence)
    raised = rows.on_conflict_do_update(
        index_elements=["job_id"], set_={"fence": highest, "at": rows.excluded.at}
    )
    return raised.returning(job_fences.c.job_id, job_fences.c.fence)


_RAISE: Final = Bulk(_raise, _FIELDS)
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
    return dict(
        _RAISE.run(connection, [(job_id, highest[job_id], at) for job_id in sorted(highest)])
    )


def highest_fence(connection: Connection) -> int:
    """Return the highest fence of all jobs, 0 if there is none."""
    return int(connection.execute(_HIGHEST).scalar_one())


def forget_fences(connection: Connection, *, before: int, most: int) -> int:
    """Check the `most` oldest rows and remove those last raised before a time (Unix ms)."""
    return connection.execute(_FORGET, {"before": before, "most": most}).rowcount
