"""Keys of senders: a request that is repeated under its key is answered as it was the first time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, select

from hms_svc.persistence.statements import among, or_ignore
from hms_svc.persistence.tables import accepted_keys
from hms_svc.ports.stores import AcceptedKey

_FIELDS = ("key", "request", "answer", "at")
_INSERT = or_ignore(accepted_keys, *_FIELDS, key=("key",))
_FOUND = select(*(accepted_keys.c[name] for name in _FIELDS)).where(among(accepted_keys.c.key))
_OLDEST: Final = (
    select(accepted_keys.c.number).order_by(accepted_keys.c.number).limit(bindparam("most"))
)
_FORGET: Final = delete(accepted_keys).where(
    accepted_keys.c.number.in_(_OLDEST), accepted_keys.c.at < bindparam("before")
)


def find(connection: Connection, keys: Sequence[str]) -> list[AcceptedKey | None]:
    """Give what was accepted under each key, in their order."""
    rows = connection.execute(_FOUND, {"values": set(keys)})
    found = {row.key: AcceptedKey(**row._mapping) for row in rows}
    return [found.get(key) for key in keys]


def keep(connection: Connection, accepted: Sequence[AcceptedKey]) -> None:
    """Keep keys; one that is kept already stays as it was kept first."""
    _INSERT.run(connection, [msgspec.structs.astuple(each) for each in accepted])


def forget(connection: Connection, *, before: int, most: int) -> int:
    """Look at the keys that were kept first and remove those from before then (Unix ms)."""
    return connection.execute(_FORGET, {"before": before, "most": most}).rowcount
