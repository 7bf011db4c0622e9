"""Named SQL statements, kept in .sql files next to the code that runs them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

ROWS_AT_ONCE: Final = 100
_VALUES: Final = re.compile(r"VALUES (\((?:\?, )*\?\))")
_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def split_statements(text: str) -> dict[str, str]:
    """Return the statements of a text, each under a line `-- name: …`, by name."""
    _, *parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def run_many(
    connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]
) -> int:
    """Run a statement with one `VALUES (?, …)` for many rows; return how many rows it wrote.

    Each step releases the interpreter lock and must reacquire it from the event loop: one
    step for up to a hundred rows reduces that contention.
    """
    written = 0
    for repeated, values in for_many(statement, rows):
        written += connection.execute(repeated, values).rowcount
    return written


def for_many(
    statement: str, rows: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Return the statements, each with its parameters, that do what this one does for each row."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chunk = rows[start : start + ROWS_AT_ONCE]
        yield _repeated(statement, len(chunk)), tuple(chain.from_iterable(chunk))


@lru_cache(maxsize=256)
def takes_many(statement: str) -> bool:
    """Return whether a statement has one `VALUES (?, …)`, and so can be one for many rows."""
    return _VALUES.search(statement) is not None


@lru_cache(maxsize=256)
def _repeated(statement: str, count: int) -> str:
    return _VALUES.sub(lambda found: "VALUES " + ", ".join([found[1]] * count), statement)
