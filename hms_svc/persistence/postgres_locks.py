"""Advisory locks of a PostgreSQL transaction: on numbers, separate for each schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from zlib import crc32

from sqlalchemy import BigInteger, Boolean, Connection, case, func, select

from hms_svc.persistence.statements import array_rows

MOST_PLACES: Final = 256
"""Above this number all places are locked with one lock. The server reserves 64 locks for each
connection in a shared table, and a writing process must not use more than the share of its
connections."""
_EVERY_PLACE: Final = -3
_BITS: Final = 39
_KEYS: Final = array_rows({"key": BigInteger(), "shared": Boolean()}, by_name=True)
_IN_ORDER: Final = select(_KEYS.c.key, _KEYS.c.shared).order_by(_KEYS.c.ordinality).subquery()
_LOCK: Final = select(
    case(
        (_IN_ORDER.c.shared, func.pg_advisory_xact_lock_shared(_IN_ORDER.c.key)),
        else_=func.pg_advisory_xact_lock(_IN_ORDER.c.key),
    )
)


def lock_space(schema: str) -> int:
    """Return the prefix that separates the locks of one schema from those of others in the database."""
    return (crc32(schema.encode()) & 0xFFFFFF) << _BITS


def lock_numbers(connection: Connection, space: int, numbers: Sequence[int]) -> None:
    """Lock sorted numbers until the end of the transaction, in one round trip, in order.

    Numbers from 0 on are places. A transaction that locks few places also takes the lock
    on all places in shared mode; one that locks very many takes only that lock, exclusively.
    """
    if not numbers:
        return
    wanted = [(number, False) for number in numbers]
    if numbers[-1] >= 0:
        many = len(numbers) > MOST_PLACES
        wanted = [(_EVERY_PLACE, False)] if many else [(_EVERY_PLACE, True), *wanted]
    mask = (1 << _BITS) - 1
    keys = [space | (number & mask) for number, _ in wanted]
    connection.execute(_LOCK, {"key": keys, "shared": [shared for _, shared in wanted]})
