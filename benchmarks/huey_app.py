"""The same jobs on huey over SQLite, synced to disk. Runs in a virtual environment of its own.

    python -m benchmarks.huey_app produce noop|report COUNT

and huey's own consumer with `benchmarks.huey_app.huey`. A report does by hand
what `pothole.report` does: it checks, asks for the hour's reports and for open
cases near, and writes case, audit record, outbox row and counter in one commit;
then it hands in the notice, which is recorded.
"""

from __future__ import annotations

import json
import math
import os
import re
import sqlite3
import sys
import threading
import time
import uuid
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import payloads
from benchmarks.probe import Probe

RADIUS_M = 25.0
FOLDER = Path(os.environ["HMS_SVC_DATA_DIR"])
ANSWER = {"ok": True}
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
huey: Any = import_module("huey").SqliteHuey(
    "bench", filename=os.fspath(FOLDER / "huey.db"), fsync=True
)
_probe = Probe.of_environment()
_local = threading.local()


def _noop(user_id: str, lat: float, lon: float, photo: str, n: int) -> dict[str, bool]:
    _probe.hit(n)
    return ANSWER


def _report(n: int, notice_n: int, job: str, data: dict[str, Any]) -> str:
    if not re.fullmatch(r"usr-[A-Za-z0-9]{1,32}", data["user_id"]):
        raise ValueError("identity")
    connection = _cases()
    connection.execute("BEGIN IMMEDIATE")
    try:
        case = _open_case(connection, job, data)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    notice(notice_n, case)
    _probe.hit(n)
    return case


def _notice(n: int, case: str) -> dict[str, Any]:
    _probe.hit(n)
    return {"recorded": True, "case": case}


noop = huey.task(name="noop")(_noop)
report = huey.task(name="report")(_report)
notice = huey.task(name="notice")(_notice)


def _cases() -> sqlite3.Connection:
    if not hasattr(_local, "cases"):
        _local.cases = sqlite3.connect(FOLDER / "huey_cases.db", isolation_level=None, timeout=30)
        _local.cases.execute("PRAGMA journal_mode=WAL")
        _local.cases.execute("PRAGMA synchronous=FULL")
        _local.cases.executescript(SCHEMA)
    connection: sqlite3.Connection = _local.cases
    return connection


def _open_case(connection: sqlite3.Connection, job: str, data: dict[str, Any]) -> str:
    user, lat, lon, now = data["user_id"], data["lat"], data["lon"], time.time()
    run = connection.execute
    run("INSERT OR IGNORE INTO reports VALUES (?, ?, ?)", (user, job, now))
    hour = run("SELECT count(*) FROM reports WHERE user_id = ? AND at > ?", (user, now - 3600))
    if hour.fetchone()[0] > 10:
        raise ValueError("identity")
    tall = RADIUS_M / 111_195
    wide = tall / math.cos(math.radians(lat))
    near = run(
        "SELECT lat, lon FROM cases WHERE status = 'open' AND lat BETWEEN ? AND ? "
        "AND lon BETWEEN ? AND ?",
        (lat - tall, lat + tall, lon - wide, lon + wide),
    ).fetchall()
    if any(_metres(lat, lon, *other) <= RADIUS_M for other in near):
        raise ValueError("duplicate")
    case = f"case-{uuid.uuid4()}"
    row = (case, job, lat, lon, user, 50, "open", now, json.dumps(data))
    run("INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    run("INSERT INTO audit (at, subject, detail) VALUES (?, ?, ?)", (now, case, job))
    event = ("case.opened", job, json.dumps({"case_id": case}))
    run("INSERT INTO outbox (type, subject, data) VALUES (?, ?, ?)", event)
    run(COUNT_UP)
    return case


def _metres(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    north = math.radians(other_lat - lat)
    east = math.radians(other_lon - lon) * math.cos(math.radians(lat))
    return 6_371_000 * math.hypot(north, east)


def main() -> None:
    """Hand in jobs: huey has no call for many at a time."""
    kind, count = sys.argv[2], int(sys.argv[3])
    began = time.perf_counter()
    for number in range(count):
        if kind == "report":
            report(number, count + number, str(uuid.uuid4()), payloads.report(number))
        else:
            noop(**payloads.noop(number))
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    # by the name under which the consumer knows the tasks
    import_module("benchmarks.huey_app").main()
