"""Idempotency keys: a request repeated with its key gets the first answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, func, literal_column, select

from hms_svc.persistence.engine import Engine
from hms_svc.persistence.statements import Bulk, DialectInsert, among, insert_into, insert_or_ignore
from hms_svc.persistence.tables import accepted_keys
from hms_svc.ports.stores import AcceptedKey

_FIELDS = ("key", "request", "answer", "at")
_RESERVE = insert_or_ignore(accepted_keys, *_FIELDS, key=("key",))
_FOUND = select(*(accepted_keys.c[name] for name in _FIELDS)).where(among(accepted_keys.c.key))
_OLDEST: Final = (
    select(accepted_keys.c.number).order_by(accepted_keys.c.number).limit(bindparam("most"))
)
_FORGET: Final = delete(accepted_keys).where(
    accepted_keys.c.number.in_(_OLDEST), accepted_keys.c.at < bindparam("before")
)


class SqlAcceptedKeys:
    """Implements ports.stores.AcceptedKeyStore."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def find(self, keys: Sequence[str]) -> list[AcceptedKey | None]:
        return await self._engine.read(lambda on: _find(on, keys)) if keys else []

    async def reserve(self, keys: Sequence[AcceptedKey]) -> list[AcceptedKey]:
        return await self._engine.write(lambda on: _reserve(on, keys)) if keys else []

    async def keep(self, accepted: Sequence[AcceptedKey]) -> None:
        if accepted:
            await self._engine.write(lambda on: _KEEP.run(on, _rows(accepted)))


def _find(connection: Connection, keys: Sequence[str]) -> list[AcceptedKey | None]:
    rows = connection.execute(_FOUND, {"values": set(keys)}).all()
    found = {row.key: AcceptedKey(**row._mapping) for row in rows}
    return [found.get(key) for key in keys]


def _reserve(connection: Connection, keys: Sequence[AcceptedKey]) -> list[AcceptedKey]:
    while True:  # Repeats if another transaction removed one of the keys in between.
        _RESERVE.run(connection, _rows(keys))
        found = _find(connection, [key.key for key in keys])
        stored = [key for key in found if key is not None]
        if len(stored) == len(keys):
            return stored


def _rows(keys: Sequence[AcceptedKey]) -> list[tuple[Any, ...]]:
    """Return one row for each key, its first; sorted, so that concurrent writers do not deadlock."""
    first = {accepted.key: accepted for accepted in reversed(keys)}
    return [msgspec.structs.astuple(first[key]) for key in sorted(first)]


def _upsert(dialect: str) -> DialectInsert:
    given = insert_into(dialect, accepted_keys, _FIELDS)
    unanswered = func.length(accepted_keys.c.answer) == literal_column("0")
    same = accepted_keys.c.request == given.excluded.request
    return given.on_conflict_do_update(
        index_elements=["key"],
        set_={"answer": given.excluded.answer},
        where=and_(same, unanswered),
    )


_KEEP: Final = Bulk(_upsert, _FIELDS)


def forget_keys(connection: Connection, *, before: int, most: int) -> int:
    """Check the `most` oldest keys and remove those from before a time (Unix ms); return how many."""
    return connection.execute(_FORGET, {"before": before, "most": most}).rowcount
