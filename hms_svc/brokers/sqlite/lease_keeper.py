"""The writing connection of the heartbeat thread, the only one besides that of the writer thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from hms_svc.brokers.limits import STALE_MS
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.brokers.sqlite.transaction import SQL
from hms_svc.brokers.sqlite.type_limits import SQL as LIMITS
from hms_svc.brokers.type_limits import limits_text
from hms_svc.domain.job import LeaseToken
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import WorkerRegistration
from hms_svc.sqlite.connection import connect
from hms_svc.sqlite.lock import LockFile

Result = TypeVar("Result")


class SQLiteLeaseKeeper:
    """Renews leases from its own thread. Writes are not synced to disk: a reboot voids all leases."""

    def __init__(self, file: QueueFile) -> None:
        self._file = file
        self._clock = file.clock
        self._lock = LockFile(file.path)
        self._connection: sqlite3.Connection | None = None

    def extend(self, tokens: Sequence[LeaseToken], lease_ms: int) -> list[LeaseToken]:
        """Renew leases from now; return the tokens that no longer own their job."""

        def renew(connection: sqlite3.Connection) -> list[LeaseToken]:
            until = self._clock.lease_ms() + lease_ms
            statement = SQL["extend"]
            return [
                token
                for token in tokens
                if connection.execute(statement, (until, token.locator, token.fence)).rowcount != 1
            ]

        return self._write(renew)

    def register(self, worker: WorkerRegistration) -> None:
        """Add or renew a worker in the register, and remove stale entries."""

        def show(connection: sqlite3.Connection) -> None:
            seen = self._clock.lease_ms()
            row = (worker.id, seen, self._clock.now_ms(), msgspec.json.encode(worker))
            connection.execute(SQL["register"], row)
            connection.execute(SQL["forget_workers"], (seen - STALE_MS,))
            connection.executemany(SQL["declare_priority"], worker.priorities)
            plain = sorted(set(worker.types) - set(dict(worker.priorities)))
            connection.execute(SQL["undeclare_priorities"], (encode(plain).decode(),))
            limits, keyed = dict(worker.limits), dict(worker.keyed_limits)
            declared = [
                (
                    type,
                    limits_text(limits.get(type, ())) or None,
                    limits_text(keyed.get(type, ())) or None,
                )
                for type in sorted(limits.keys() | keyed.keys())
            ]
            connection.executemany(LIMITS["declare_limits"], declared)
            without = sorted(set(worker.types) - limits.keys() - keyed.keys())
            connection.execute(LIMITS["undeclare_limits"], (encode(without).decode(),))

        self._write(show)

    def close(self) -> None:
        """Release the connection and the lock file."""
        if self._connection is not None:
            with self._lock.held():
                self._connection.close()
        self._lock.close()

    def _write(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            with self._lock.held():
                self._file.check()
                if self._connection is None:
                    self._connection = connect(self._file.path, "NORMAL")
                    self._file.check()
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    result = function(self._connection)
                except sqlite3.Error:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
                return result
        except sqlite3.Error as error:
            raise self._file.unavailable(error) from error
