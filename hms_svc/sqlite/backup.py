"""Consistent copies of a database in use."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from hms_svc.domain.errors import BadInput


def copy_database(source: Path, target: Path) -> None:
    """Write a consistent copy of a database to a new file that only its owner may read.

    Blocks. Raise BadInput if the target exists or cannot be written, or sqlite3.Error.
    """
    try:
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError as error:
        raise BadInput(f"{target} exists already: a backup needs a new file") from error
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}") from error
    try:
        with closing(_connect(source)) as reader, closing(_connect(target)) as writer:
            reader.execute("PRAGMA query_only=ON")
            reader.backup(writer)
        os.fsync(descriptor)
    except sqlite3.Error:
        target.unlink()
        raise
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)
