"""The archive: jobs that left the broker rejected or dead, with all that was known of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, bindparam, or_, select

from hms_svc.domain.views import JobDetail
from hms_svc.persistence.pages import read_cursor
from hms_svc.persistence.statements import or_ignore
from hms_svc.persistence.tables import archive

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(JobDetail).decode
_INSERT = or_ignore(
    archive,
    *("job_id", "type", "state", "finished_at", "detail"),
    key=("job_id", "finished_at"),
)
_ONE = (
    select(archive.c.detail)
    .where(archive.c.job_id == bindparam("job_id"))
    .order_by(archive.c.finished_at.desc())
    .limit(1)
)
_PAGE = (
    select(archive.c.finished_at, archive.c.number, archive.c.detail)
    .where(
        archive.c.finished_at <= bindparam("end"),
        or_(
            archive.c.finished_at < bindparam("end"),
            and_(archive.c.finished_at == bindparam("end"), archive.c.number < bindparam("below")),
        ),
    )
    .order_by(archive.c.finished_at.desc(), archive.c.number.desc())
    .limit(bindparam("limit"))
)


def keep(connection: Connection, jobs: Sequence[JobDetail]) -> None:
    """Keep jobs; one whose id and end are kept already stays as it was kept first."""
    _INSERT.run(connection, [_row(job) for job in jobs])


def page(
    connection: Connection, *, limit: int, cursor: str | None
) -> tuple[list[JobDetail], str | None]:
    """Give one page, the job that ended last first, and the cursor of the next."""
    end, below = (2**63 - 1, 2**63 - 1) if cursor is None else read_cursor(cursor, 2)
    rows = connection.execute(_PAGE, {"end": end, "below": below, "limit": limit}).all()
    full = bool(rows) and len(rows) == limit
    more = f"{rows[-1].finished_at}.{rows[-1].number}" if full else None
    return [_decode(row.detail) for row in rows], more


def one(connection: Connection, job_id: str) -> JobDetail | None:
    """Give the archived job of this id that ended last."""
    row = connection.execute(_ONE, {"job_id": job_id}).first()
    return _decode(row.detail) if row else None


def _row(job: JobDetail) -> tuple[Any, ...]:
    view = job.view
    return view.id, view.type, view.state.value, view.finished_at or view.enqueued_at, _encode(job)
