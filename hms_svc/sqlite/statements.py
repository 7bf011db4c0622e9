"""Named SQL statements, read from files of their own beside the code that runs them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import chain
from typing import Any, Final

ROWS_AT_ONCE: Final = 100
_VALUES: Final = re.compile(r"VALUES (\((?:\?, )*\?\))")
_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(package: str, file: str) -> dict[str, str]:
    """Read a file of statements, each under a line `-- name: …`, into a mapping by name."""
    text = files(package).joinpath(file).read_text("utf-8")
    _, *parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def run_many(
    connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]
) -> int:
    """Run a statement with one `VALUES (?, …)` for many rows; gives how many rows it wrote.

    Every step gives up the interpreter and must win it back from the event
    loop: one large step for up to a hundred rows lets the two run side by side.
    """
    written = 0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chunk = rows[start : start + ROWS_AT_ONCE]
        repeated = _repeated(statement, len(chunk))
        written += connection.execute(repeated, tuple(chain.from_iterable(chunk))).rowcount
    return written


@lru_cache(maxsize=256)
def _repeated(statement: str, count: int) -> str:
    return _VALUES.sub(lambda found: "VALUES " + ", ".join([found[1]] * count), statement)
