"""The files on which a database was opened, and whether they are still at their paths.

If an open file is removed or another file is moved over it, the open file has no name:
later writes to it are never read, and are lost with the process.
"""

from __future__ import annotations

import ctypes
import sqlite3
from pathlib import Path
from typing import Final

_COMPANIONS: Final = ("-wal", "-shm")


class FileReplaced(sqlite3.OperationalError):
    """The file at the path of an open database is another one or missing."""


class OpenedFiles:
    """The device and inode of a database, its log and its index when they were first seen.

    Create it after the database was opened. It may be used from any thread; a check
    takes some microseconds.
    """

    def __init__(self, path: Path) -> None:
        real = path.resolve()
        companions = (real.with_name(real.name + ending) for ending in _COMPANIONS)
        self._paths = (path.absolute(), *companions)
        self._known: dict[Path, tuple[int, int]] = {}
        self._fault = ""
        self.fault()

    def fault(self) -> str:
        """Return a message about a replaced or removed file, permanently once found; otherwise empty."""
        for path in self._paths:
            if self._fault:
                break
            try:
                found = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                if path in self._known:
                    self._fault = f"{path} was removed while it was open"
                continue
            except OSError:
                continue
            present = (found.st_dev, found.st_ino)
            if self._known.setdefault(path, present) != present:
                self._fault = f"{path} was replaced by another file while it was open"
        return self._fault

    def has_lost_its_log(self) -> bool:
        """Return whether the database is at its path but its log is missing: it can still be saved."""
        path, log_path, _ = self._paths
        return self._is_known(path) and log_path in self._known and not log_path.exists()

    def may_be_closed(self) -> bool:
        """Return whether the last connection may be closed, which removes the log at its path.

        It may not if another log is there now. If the database was moved, SQLite itself does not
        remove it.
        """
        path, log_path, _ = self._paths
        return not (self._is_known(path) and log_path.exists() and not self._is_known(log_path))

    def _is_known(self, path: Path) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        return self._known.get(path) == (found.st_dev, found.st_ino)

    def check(self) -> None:
        """Raise FileReplaced if a file is not the one that is open."""
        if fault := self.fault():
            raise FileReplaced(
                f"{fault}: nothing is written to it, because it would never be read; stop all "
                "processes of hms-svc before moving its files, then start them again"
            )


def leave_open(connection: sqlite3.Connection) -> None:
    """Keep a connection open until the process ends, even if it is no longer referenced."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
