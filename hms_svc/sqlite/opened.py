"""Which files a database was opened on, and whether they still stand at its path.

A file that is moved over an open one, or removed, leaves the open one without a
name: what is written into it then is read by nobody, and gone with the process.
"""

from __future__ import annotations

import ctypes
import sqlite3
from pathlib import Path
from typing import Final

_COMPANIONS: Final = ("-wal", "-shm")


class FileReplaced(sqlite3.OperationalError):
    """The file at the path of an open database is another one, or none."""


class OpenedFiles:
    """The device and inode of a database, its log and its index, as they were when first seen.

    Make it when the database has been opened. Any thread may ask; one read takes some microseconds.
    """

    def __init__(self, path: Path) -> None:
        real = path.resolve()
        companions = (real.with_name(real.name + ending) for ending in _COMPANIONS)
        self._paths = (path.absolute(), *companions)
        self._known: dict[Path, tuple[int, int]] = {}
        self._fault = ""
        self.fault()

    def fault(self) -> str:
        """Return, in words which file is not the one that is open, for ever once found; else empty."""
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
        """Return whether the database stands at its path, and its log nowhere: it can still be saved."""
        path, log_path, _ = self._paths
        return self._is_known(path) and log_path in self._known and not log_path.exists()

    def may_be_closed(self) -> bool:
        """Return whether the last connection may close, which removes the log at its path.

        Not where another log stands there now. Where the database was moved, SQLite itself refrains.
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
        """Raise FileReplaced where a file is not the one that is open."""
        if fault := self.fault():
            raise FileReplaced(
                f"{fault}: nothing is accepted into a file that nobody will read; stop every "
                "process of hms-svc before its files are moved, and start anew"
            )


def leave_open(connection: sqlite3.Connection) -> None:
    """Keep a connection open until the process ends, whoever forgets it."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
