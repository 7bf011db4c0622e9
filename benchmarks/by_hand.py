"""What `pothole.report` does, by hand, with one commit a job: for the handlers of peers.

It checks the user, counts the hour's reports, looks for open cases near, and
writes case, audit record, outbox row and counter. Standard library only.
"""

from __future__ import annotations

import json
import math
import os
import re
import sqlite3
import threading
import time
import uuid
from pathlib import Path
from typing import Any

RADIUS_M = 25.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS reports (user_id TEXT, job TEXT, at REAL, PRIMARY KEY (user_id, job));
CREATE TABLE IF NOT EXISTS cases (id TEXT PRIMARY KEY, job TEXT UNIQUE, lat REAL, lon REAL,
    user_id TEXT, urgency INTEGER, status TEXT, at REAL, data TEXT);
CREATE INDEX IF NOT EXISTS cases_open ON cases (lat, lon) WHERE status = 'open';
CREATE TABLE IF NOT EXISTS audit (number INTEGER PRIMARY KEY, at REAL, subject TEXT, detail TEXT);
CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY, type TEXT, subject TEXT, data TEXT);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, n INTEGER);
"""
COUNT_UP = (
    "INSERT INTO counters VALUES ('cases.opened', 1) ON CONFLICT (name) DO UPDATE SET n = n + 1"
)


class SQLiteCases:
    """A file in the folder of the measurement, synced at each commit; a connection a thread."""

    def __init__(self, name: str = "by_hand.db") -> None:
        self._path = Path(os.environ["HMS_SVC_DATA_DIR"]) / name
        self._local = threading.local()

    def open_case(self, job: str, data: dict[str, Any]) -> str:
        """Commit one case; return its id. ValueError names the rule that rejects it."""
        check_user(data)
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            case = _open_case(connection, job, data)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        return case

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "cases"):
            self._local.cases = sqlite3.connect(self._path, isolation_level=None, timeout=30)
            self._local.cases.execute("PRAGMA journal_mode=WAL")
            self._local.cases.execute("PRAGMA synchronous=FULL")
            self._local.cases.executescript(SCHEMA)
        connection: sqlite3.Connection = self._local.cases
        return connection


def check_user(data: dict[str, Any]) -> None:
    """Raise ValueError where the user id is not well-formed."""
    if not re.fullmatch(r"usr-[A-Za-z0-9]{1,32}", data["user_id"]):
        raise ValueError("identity")


def box(lat: float, lon: float) -> tuple[float, float, float, float]:
    """Return the degrees around a place in which a neighbour may stand: south, north, west, east."""
    tall = RADIUS_M / 111_195
    wide = tall / math.cos(math.radians(lat))
    return lat - tall, lat + tall, lon - wide, lon + wide


def metres(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Return the distance between two places that are near each other."""
    north = math.radians(other_lat - lat)
    east = math.radians(other_lon - lon) * math.cos(math.radians(lat))
    return 6_371_000 * math.hypot(north, east)


def _open_case(connection: sqlite3.Connection, job: str, data: dict[str, Any]) -> str:
    user, lat, lon, now = data["user_id"], data["lat"], data["lon"], time.time()
    run = connection.execute
    run("INSERT OR IGNORE INTO reports VALUES (?, ?, ?)", (user, job, now))
    hour = run("SELECT count(*) FROM reports WHERE user_id = ? AND at > ?", (user, now - 3600))
    if hour.fetchone()[0] > 10:
        raise ValueError("identity")
    near = run(
        "SELECT lat, lon FROM cases WHERE status = 'open' AND lat BETWEEN ? AND ? "
        "AND lon BETWEEN ? AND ?",
        box(lat, lon),
    ).fetchall()
    if any(metres(lat, lon, *other) <= RADIUS_M for other in near):
        raise ValueError("duplicate")
    case = f"case-{uuid.uuid4()}"
    row = (case, job, lat, lon, user, 50, "open", now, json.dumps(data))
    run("INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    run("INSERT INTO audit (at, subject, detail) VALUES (?, ?, ?)", (now, case, job))
    event = ("case.opened", job, json.dumps({"case_id": case}))
    run("INSERT INTO outbox (type, subject, data) VALUES (?, ?, ?)", event)
    run(COUNT_UP)
    return case
