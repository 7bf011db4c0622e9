"""The audit log: rows are appended in any transaction, chained by one sealer, and verified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, select, update
from sqlalchemy.sql.dml import UpdateBase

from hms_svc.domain.audit_heads import SealedChain
from hms_svc.domain.audit_query import (
    EVERY_ROW,
    IN_BATCH,
    ROWS_EXAMINED_BY_PAGE,
    AuditPage,
    AuditQuery,
)
from hms_svc.domain.views import AuditRecord
from hms_svc.persistence.audit_walk import AuditWalk, chained
from hms_svc.persistence.engine import Engine, Lock
from hms_svc.persistence.pages import read_cursor, read_pages
from hms_svc.persistence.statements import (
    POSTGRESQL,
    AnyRow,
    Bulk,
    Part,
    array_rows,
    insert_rows,
    write_together,
)
from hms_svc.persistence.tables import audit

SEAL_LOCK: Final = -1
"""The lock number of sealers; no place has it."""
_MOST: Final = 5_000
_PAGE: Final = 1_000
_COLUMNS = (
    audit.c.number,
    audit.c.at,
    audit.c.actor,
    audit.c.action,
    audit.c.subject,
    audit.c.detail,
    audit.c.link,
    audit.c.digest,
)
_FIELDS = ("at", "actor", "action", "subject", "detail")
_INSERT = insert_rows(audit, *_FIELDS)
_INSERT_ONE = insert(audit)
_LINKS: Final = {
    "new_link": audit.c.link.type,
    "new_digest": audit.c.digest.type,
    "sealed": audit.c.number.type,
}
_RECORDS = select(*_COLUMNS)
_IS_UNSEALED = select(audit.c.number).where(audit.c.link.is_(None)).limit(1)
_UNSEALED = _RECORDS.where(audit.c.link.is_(None)).order_by(audit.c.number).limit(_MOST)
_HEAD = (
    select(audit.c.link, audit.c.digest)
    .where(audit.c.link.is_not(None))
    .order_by(audit.c.link.desc())
    .limit(1)
)

_DIGESTS = select(audit.c.link, audit.c.digest).where(
    audit.c.link.in_(bindparam("links", expanding=True))
)
_NEWEST = (
    _RECORDS.where(audit.c.number < bindparam("below"))
    .order_by(audit.c.number.desc())
    .limit(bindparam("limit"))
)
_LAST = select(func.max(audit.c.number))
_CHAIN = _RECORDS.where(audit.c.link > bindparam("after")).order_by(audit.c.link).limit(_PAGE)


def _chain(dialect: str) -> UpdateBase:
    if dialect == POSTGRESQL:
        rows = array_rows(_LINKS)
        link, digest, sealed = (rows.c[name] for name in _LINKS)
    else:
        link, digest, sealed = (bindparam(name) for name in _LINKS)
    return update(audit).where(audit.c.number == sealed).values(link=link, digest=digest)


_SEAL: Final = Bulk(_chain, tuple(_LINKS))


class SqlAudit:
    """Implements ports.stores.AuditStore."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def append(self, records: Sequence[AuditRecord]) -> None:
        if records:
            await self._engine.write(
                lambda on: write_together(on, [insertion(records)]), repeatable=False
            )

    async def seal(self) -> tuple[int, str] | None:
        if await self._engine.read(lambda on: on.execute(_IS_UNSEALED).first()) is None:
            return None
        return await self._engine.write(lambda on: _seal(on, self._engine.lock))

    async def records(
        self, query: AuditQuery = EVERY_ROW, *, limit: int, cursor: str | None
    ) -> list[AuditRecord]:
        async def page(size: int, after: str | None) -> tuple[list[AuditRecord], str | None]:
            return await self._engine.read(lambda on: _page(on, query, limit=size, cursor=after))

        return (await read_pages(page, limit, cursor))[0]

    async def page(self, query: AuditQuery, *, limit: int, cursor: str | None) -> AuditPage:
        records, more = await self._engine.read(
            lambda on: _page(on, query, limit=limit, cursor=cursor)
        )
        return AuditPage(tuple(records), more)

    async def sealed_chain(self, links: Sequence[int]) -> SealedChain:
        return await self._engine.read(lambda on: _chain_at(on, links))

    async def verify(self, links: Sequence[int]) -> SealedChain:
        walk = AuditWalk(links, gapless=self._engine.gapless)
        while records := await self._engine.read(lambda on: _links(on, after=walk.link)):
            walk.take(records)
        return walk.finish()


def insertion(records: Sequence[AuditRecord]) -> Part:
    """Return the insertion of rows, to be chained by the next seal."""
    return _INSERT, [_row(record) for record in records]


def append_one(connection: Connection, record: AuditRecord) -> int:
    """Append a row; return its number."""
    row = dict(zip(_FIELDS, _row(record), strict=True))
    key = connection.execute(_INSERT_ONE, row).inserted_primary_key
    assert key is not None
    return int(key[0])


def _seal(connection: Connection, lock: Lock) -> tuple[int, str] | None:
    """Chain up to 5,000 committed rows in the order of their numbers; return the new head."""
    lock(connection, [SEAL_LOCK])
    unsealed = [_record(row) for row in connection.execute(_UNSEALED).all()]
    if not unsealed:
        return None
    link, digest = _read_head(connection) or (0, "")
    rows = []
    for record in unsealed:
        link, digest = link + 1, chained(digest, record)
        rows.append((link, digest, record.number))
    _SEAL.run(connection, rows)
    return link, digest


def _read_head(connection: Connection) -> tuple[int, str] | None:
    """Return link and digest of the newest sealed row."""
    row = connection.execute(_HEAD).first()
    return (row.link, row.digest) if row else None


def _chain_at(connection: Connection, links: Sequence[int]) -> SealedChain:
    digests = connection.execute(_DIGESTS, {"links": list(links)}) if links else ()
    found = {row.link: row.digest for row in digests}
    link, digest = _read_head(connection) or (0, "")
    return SealedChain(link=link, digest=digest, digests=found)


def _page(
    connection: Connection, query: AuditQuery, *, limit: int, cursor: str | None
) -> tuple[list[AuditRecord], str | None]:
    """Return one page of rows, newest first, and the next cursor.

    If no index serves the query, it ends after ROWS_EXAMINED_BY_PAGE rows, however few it found.
    """
    below = _above_all(connection) if cursor is None else read_cursor(cursor, 1)[0]
    floor = 0 if query.is_served else max(0, below - ROWS_EXAMINED_BY_PAGE)
    statement = _NEWEST.where(audit.c.number >= floor)
    for condition in _conditions(query, connection.dialect.name):
        statement = statement.where(condition)
    rows = connection.execute(statement, {"below": below, "limit": limit}).all()
    if rows and len(rows) == limit:
        return [_record(row) for row in rows], str(rows[-1].number)
    return [_record(row) for row in rows], str(floor) if floor > 1 else None


def _above_all(connection: Connection) -> int:
    newest = connection.execute(_LAST).scalar()
    return 1 if newest is None else int(newest) + 1


def _conditions(query: AuditQuery, dialect: str) -> Iterator[ColumnElement[bool]]:
    if query.subject:
        yield audit.c.subject == query.subject
    for column, given in ((audit.c.actor, query.actor), (audit.c.action, query.action)):
        if given:
            yield _matches(column, given)
    if query.folded:
        mark = f'"{IN_BATCH}":true'.encode()
        if dialect == POSTGRESQL:
            yield audit.c.detail.bool_op("NOT LIKE")(b"%" + mark + b"%")
        else:
            yield func.instr(audit.c.detail, mark) == 0


def _matches(column: ColumnElement[str], given: str) -> ColumnElement[bool]:
    name = given.removeprefix("-")
    # LIKE would ignore case on SQLite; no index has these columns.
    part = name.removesuffix("*")
    found = column == name if part == name else func.substr(column, 1, len(part)) == part
    return ~found if given.startswith("-") else found


def _links(connection: Connection, *, after: int) -> list[AuditRecord]:
    """Return the next sealed rows with a link above `after`, in the order of the chain."""
    return [_record(row) for row in connection.execute(_CHAIN, {"after": after}).all()]


def _row(record: AuditRecord) -> tuple[Any, ...]:
    return record.at, record.actor, record.action, record.subject, record.detail


def _record(row: AnyRow) -> AuditRecord:
    number, at, actor, action, subject, detail, link, digest = row
    return AuditRecord(
        number=number,
        at=at,
        actor=actor,
        action=action,
        subject=subject,
        detail=detail,
        link=link,
        digest=digest,
    )
