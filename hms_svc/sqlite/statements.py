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
_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(package: str, file: str) -> dict[str, str]:
    """Read a file of statements, each under a line `-- name: …`, into a mapping by name."""
    text = files(package).joinpath(file).read_text()
    _, *parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def insert_many(
    connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Run an `INSERT … VALUES (?, …)` for many rows, a hundred to a step.

    Every step gives up the interpreter and must win it back from the event
    loop: few large steps let the two run side by side.
    """
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chunk = rows[start : start + ROWS_AT_ONCE]
        connection.execute(_repeated(statement, len(chunk)), tuple(chain.from_iterable(chunk)))


@lru_cache(maxsize=256)
def _repeated(statement: str, count: int) -> str:
    values = statement[statement.rindex("(") :]
    return statement + f", {values}" * (count - 1)
