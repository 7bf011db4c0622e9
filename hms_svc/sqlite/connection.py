"""Opens connections to a database file: durable, with bounded waits, in WAL mode."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

BUSY_TIMEOUT_MS: Final = 10_000
Synchronous = Literal["FULL", "NORMAL"]


def connect(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """Open a writing connection in autocommit mode. The caller must hold the lock file.

    A new file is accessible only to its owner, because payloads contain personal data.
    """
    # Only for a new file: closing any descriptor of a database releases all locks on it that
    # this process holds (sqlite.org/howtocorrupt.html, 2.2).
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA mmap_size=0")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA journal_size_limit=67108864")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA foreign_keys=ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
