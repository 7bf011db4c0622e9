"""A hand-written SQLite queue, as fast as a page of code gets it: the limit of the embedded broker.

One thread writes; each transaction (synchronous=FULL) takes back a batch of a
hundred with results and one event a job, and leases the next hundred. The
attempt is the fence. It has leases, results and events, and nothing else.

    python -m benchmarks.hand_loop produce COUNT | work
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.payloads import noop
from benchmarks.probe import Probe

BATCH = 100
INSERT_BATCH = 1000
LEASE_SECONDS = 30.0
ANSWER = {"ok": True}
SCHEMA = """
CREATE TABLE IF NOT EXISTS work (
    number INTEGER PRIMARY KEY, state INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0,
    until REAL, payload BLOB NOT NULL, answer BLOB);
CREATE INDEX IF NOT EXISTS work_waiting ON work (number) WHERE state = 0;
CREATE INDEX IF NOT EXISTS work_leased ON work (until) WHERE state = 1;
CREATE TABLE IF NOT EXISTS happened (position INTEGER PRIMARY KEY, work INTEGER, what TEXT);
"""
TAKE_BACK = (
    "UPDATE work SET state = 2, until = NULL, answer = ? "
    "WHERE number = ? AND attempt = ? AND state = 1"
)
ANNOUNCE = "INSERT INTO happened (work, what) VALUES (?, 'completed')"
LEASE = """
UPDATE work SET state = 1, attempt = attempt + 1, until = ?
WHERE number IN (SELECT number FROM work WHERE state = 0 ORDER BY number LIMIT ?)
RETURNING number, attempt, payload
"""
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode
Finished = tuple[bytes, int, int]
Leased = tuple[int, int, bytes]


def connect() -> sqlite3.Connection:
    """Open the file in the folder of the measurement."""
    path = Path(os.environ["HMS_SVC_DATA_DIR"]) / "loop.db"
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=30, cached_statements=256
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(SCHEMA)
    return connection


def produce(count: int) -> float:
    """Insert jobs, a thousand to a commit; return seconds."""
    connection = connect()
    began = time.perf_counter()
    for start in range(0, count, INSERT_BATCH):
        numbers = range(start, min(start + INSERT_BATCH, count))
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO work (payload) VALUES (?)", [(encode(noop(number)),) for number in numbers]
        )
        connection.execute("COMMIT")
    return time.perf_counter() - began


def exchange(connection: sqlite3.Connection, finished: list[Finished]) -> list[Leased]:
    """Take a batch back and lease the next one, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    if finished:
        connection.executemany(TAKE_BACK, finished)
        connection.executemany(ANNOUNCE, [(number,) for _, number, _ in finished])
    leased: list[Leased] = connection.execute(
        LEASE, (time.time() + LEASE_SECONDS, BATCH)
    ).fetchall()
    connection.execute("COMMIT")
    return leased


async def work(probe: Probe) -> None:
    """Run the jobs, each a task of its own, until the process is ended."""
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1)
    connection = await loop.run_in_executor(thread, connect)
    finished: list[Finished] = []

    async def handle(payload: dict[str, Any]) -> dict[str, bool]:
        probe.hit(payload["n"])
        return ANSWER

    async def run(number: int, attempt: int, payload: bytes) -> None:
        finished.append((encode(await handle(decode(payload))), number, attempt))

    while True:
        going, finished = finished, []
        leased = await loop.run_in_executor(thread, exchange, connection, going)
        for task in [loop.create_task(run(*each)) for each in leased]:
            await task
        if not leased and not finished:
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    if sys.argv[1] == "produce":
        print(json.dumps({"seconds": produce(int(sys.argv[2]))}))
    else:
        asyncio.run(work(Probe.of_environment()))
