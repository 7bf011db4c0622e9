"""The archive: jobs that left the broker, with their full details.

Rejected and dead ones stay for ever. Completed and cancelled ones, which a full broker
moves here, stay as long as the broker would have kept them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select

from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobDetail
from hms_svc.persistence.engine import Engine
from hms_svc.persistence.pages import read_cursor, read_pages
from hms_svc.persistence.statements import insert_or_ignore
from hms_svc.persistence.tables import archive

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(JobDetail).decode
_INSERT = insert_or_ignore(
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
_SIZES = (
    select(archive.c.finished_at, archive.c.number, func.length(archive.c.detail).label("size"))
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
_THESE = (
    select(archive.c.detail)
    .where(archive.c.number.in_(bindparam("numbers", expanding=True)))
    .order_by(archive.c.finished_at.desc(), archive.c.number.desc())
)
_WALK: Final = (
    select(archive.c.finished_at, archive.c.number, archive.c.state)
    .where(
        archive.c.finished_at < bindparam("before"),
        archive.c.finished_at >= bindparam("from"),
        or_(archive.c.finished_at > bindparam("from"), archive.c.number > bindparam("above")),
    )
    .order_by(archive.c.finished_at, archive.c.number)
    .limit(bindparam("limit"))
)
_REMOVE: Final = delete(archive).where(archive.c.number.in_(bindparam("numbers", expanding=True)))
_EXPIRING: Final = frozenset({State.COMPLETED.value, State.CANCELLED.value})
_MOST_BYTES: Final = 4 * 1024 * 1024
"""Bytes that are read at once, except for a single larger job."""


class SqlArchive:
    """Implements ports.stores.ArchiveStore."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def keep(self, jobs: Sequence[JobDetail]) -> None:
        if jobs:
            await self._engine.write(lambda on: _INSERT.run(on, [_row(job) for job in jobs]))

    async def page(self, *, limit: int, cursor: str | None) -> tuple[list[JobDetail], str | None]:
        async def page(size: int, after: str | None) -> tuple[list[JobDetail], str | None]:
            return await self._engine.read(lambda on: _page(on, limit=size, cursor=after))

        return await (page(limit, cursor) if limit > 0 else read_pages(page, limit, cursor))

    async def get(self, job_id: str) -> JobDetail | None:
        return await self._engine.read(lambda on: _one(on, job_id))

    async def sweep(self, *, before: int, limit: int, cursor: str | None) -> tuple[int, str | None]:
        return await self._engine.write(
            lambda on: _sweep(on, before=before, limit=limit, cursor=cursor)
        )


def _page(
    connection: Connection, *, limit: int, cursor: str | None
) -> tuple[list[JobDetail], str | None]:
    end, below = (2**63 - 1, 2**63 - 1) if cursor is None else read_cursor(cursor, 2)
    rows = connection.execute(_SIZES, {"end": end, "below": below, "limit": limit}).all()
    some = _up_to_limit(rows)
    if not some:
        return [], None
    more = f"{some[-1].finished_at}.{some[-1].number}"
    found = connection.execute(_THESE, {"numbers": [row.number for row in some]}).all()
    is_last = len(some) == len(rows) < limit
    return [_decode(row.detail) for row in found], None if is_last else more


def _up_to_limit(rows: Sequence[Any]) -> Sequence[Any]:
    size = 0
    for place, row in enumerate(rows):
        size += row.size
        if place and size > _MOST_BYTES:
            return rows[:place]
    return rows


def _sweep(
    connection: Connection, *, before: int, limit: int, cursor: str | None
) -> tuple[int, str | None]:
    since, above = (0, 0) if cursor is None else read_cursor(cursor, 2)
    bounds = {"before": before, "from": since, "above": above, "limit": limit}
    rows = connection.execute(_WALK, bounds).all()
    expired = [row.number for row in rows if row.state in _EXPIRING]
    if expired:
        connection.execute(_REMOVE, {"numbers": expired})
    is_last = len(rows) < limit
    return len(expired), None if is_last else f"{rows[-1].finished_at}.{rows[-1].number}"


def _one(connection: Connection, job_id: str) -> JobDetail | None:
    row = connection.execute(_ONE, {"job_id": job_id}).first()
    return _decode(row.detail) if row else None


def _row(job: JobDetail) -> tuple[Any, ...]:
    view = job.view
    return view.id, view.type, view.state.value, view.finished_at or view.enqueued_at, _encode(job)
