"""The highest fence of each job: whoever shows a lower one has lost it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select

from hms_svc.persistence.statements import Bulk, DialectInsert, among, insert_into, packed
from hms_svc.persistence.tables import job_fences


def _raise(dialect: str) -> DialectInsert:
    shown = insert_into(dialect, job_fences)
    return shown.on_conflict_do_update(
        index_elements=["job_id"],
        set_={"fence": shown.excluded.fence, "at": shown.excluded.at},
        where=shown.excluded.fence > job_fences.c.fence,
    )


_RAISE: Final = Bulk(_raise, ("job_id", "fence", "at"))
_FENCES: Final = select(job_fences.c.job_id, job_fences.c.fence).where(among(job_fences.c.job_id))
_OLDEST: Final = select(job_fences.c.number).order_by(job_fences.c.number).limit(bindparam("most"))
_HIGHEST: Final = select(func.coalesce(func.max(job_fences.c.fence), 0))
_FORGET: Final = delete(job_fences).where(
    job_fences.c.number.in_(_OLDEST), job_fences.c.at < bindparam("before")
)


def raise_fences(connection: Connection, shown: Iterable[tuple[str, int]], at: int) -> None:
    """Keep the highest of what is stored and what is shown for each job, and lock those rows."""
    highest: dict[str, int] = {}
    for job_id, fence in shown:
        highest[job_id] = max(fence, highest.get(job_id, fence))
    _RAISE.run(connection, [(job_id, highest[job_id], at) for job_id in sorted(highest)])


def read_fences(connection: Connection, job_ids: set[str]) -> dict[str, int]:
    """Give the stored fence of each job that has one."""
    rows = connection.execute(_FENCES, {"values": packed(job_ids)})
    return {row.job_id: row.fence for row in rows}


def highest_fence(connection: Connection) -> int:
    """Give the highest fence of all jobs, 0 where there is none."""
    return int(connection.execute(_HIGHEST).scalar_one())


def forget_fences(connection: Connection, *, before: int, most: int) -> int:
    """Look at the rows that were made first and remove those last raised before then (Unix ms)."""
    return connection.execute(_FORGET, {"before": before, "most": most}).rowcount
