"""The lock file of a database: one writer of all processes at a time, in order of arrival.

SQLite before 3.51.3 can corrupt a WAL database when several connections write
or checkpoint at the same instant (sqlite.org/wal.html, "the WAL-reset bug").
The lock is used with newer versions too, because the kernel wakes a waiter
immediately, while SQLite's own busy handler sleeps and retries.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from weakref import WeakSet

FIXED_VERSION: Final = (3, 51, 3)


class LockFile:
    """An advisory `flock` on a separate file. Each instance excludes all others."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _open.add(self)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; blocks this thread until it is free."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the descriptor."""
        _open.discard(self)
        os.close(self._descriptor)


_open: Final[WeakSet[LockFile]] = WeakSet()


def _close_in_child() -> None:
    """Close the parent's lock files in a forked child, which would otherwise keep the locks."""
    for lock in tuple(_open):
        lock.close()


os.register_at_fork(after_in_child=_close_in_child)


def holder_of(database: Path) -> int | None:
    """Return the pid of the process that holds the lock of this database (Linux), or None."""
    path = database.with_name(database.name + ".lock")
    try:
        inode = path.stat().st_ino
        table = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for line in table:
        fields = line.split()
        if "FLOCK" in fields and "->" not in fields and fields[5].endswith(f":{inode}"):
            return int(fields[4])
    return None
