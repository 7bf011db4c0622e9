"""Checks of an installation: what is right, what to note, and what is wrong."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from hms_svc.domain.backend_url import BackendKind, mask_passwords
from hms_svc.domain.batches import LONG_OPEN_MS
from hms_svc.domain.errors import DatabaseUnavailable, HmsError
from hms_svc.domain.health import Health, TroubleKind
from hms_svc.domain.health import Level as Degree
from hms_svc.domain.plain_text import duration_text, plural
from hms_svc.operations.action_table import BY_NAME
from hms_svc.operations.audit_chain import AuditChain
from hms_svc.operations.health import assess, seen_of_outage
from hms_svc.operations.reads import LONG_PROBE_SECONDS, Reads, Status
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.inspection import LEAST_BYTES
from hms_svc.ports.stores import OutboxEntry
from hms_svc.settings import Settings
from hms_svc.sqlite.filesystem import NETWORK_TYPES, filesystem_type
from hms_svc.sqlite.lock import FIXED_VERSION, holder_of

LAG_LIMIT_MS: Final = 60_000
SKEW_LIMIT_SECONDS: Final = 5.0
MOST_BATCHES: Final = 5
"""How many batches a finding names."""
_PROBES: Final = 20


class FindingLevel(StrEnum):
    """The severity of a finding. Only an error makes `doctor` exit with 1."""

    OK = "ok"
    NOTE = "note"
    ERROR = "error"


class Finding(msgspec.Struct, frozen=True):
    """The result of one check."""

    check: str
    level: FindingLevel
    text: str


async def examine_machine(settings: Settings) -> list[Finding]:
    """Check data directory, file systems, files, locks and clock; opens no database."""
    findings = [_data_dir(settings.data_dir), *_clock(settings.data_dir)]
    files = _sqlite_files(settings)
    if files:
        findings += [_sqlite_version(), _synchronous(settings)]
    for name, path in files:
        findings += [_filesystem(name, path), *_file_mode(name, path), await _lock(name, path)]
    return findings


async def examine_engines(reads: Reads, audit: AuditChain, settings: Settings) -> list[Finding]:
    """Check broker, database, their health with that of workers and queues, and the outbox."""
    try:
        status = await reads.status(probe_seconds=LONG_PROBE_SECONDS)
    except HmsError as error:
        return outage_findings(error, settings)
    return [
        *_engine("broker", status.broker.kind, ok=status.broker.ok, notes=status.broker.notes),
        *_durability(status.broker.durability),
        *_database(status),
        *health_findings(status.health),
        *_left_off(status),
        *await _batches(reads, status),
        await _outbox(reads, status),
        await _audit(audit, status.at),
    ]


def health_findings(health: Health) -> list[Finding]:
    """Return a finding for each problem. A note is intended, or has no consequence yet.

    So is the absence of workers: an installation may be sound before its workers are started.
    """
    found = []
    for trouble in health.troubles:
        is_note = trouble.level is Degree.NOTE or trouble.kind is TroubleKind.NO_WORKERS
        level = FindingLevel.NOTE if is_note else FindingLevel.ERROR
        detail = f"; {trouble.detail}" if trouble.detail else ""
        found.append(Finding("health", level, trouble.summary(health.at) + detail))
    return found or [Finding("health", FindingLevel.OK, "all well")]


def outage_findings(error: HmsError, settings: Settings) -> list[Finding]:
    """Return the findings about an engine that could not be opened."""
    kinds = {"broker": settings.broker.kind, "database": settings.database.kind}
    now_ms = SystemClock().now_ms()
    found = health_findings(assess(seen_of_outage(error, now_ms, **kinds)))
    return [msgspec.structs.replace(each, text=mask_passwords(each.text)) for each in found]


def failed(check: str, error: HmsError) -> Finding:
    """Return the finding about something that could not be opened."""
    return Finding(check, FindingLevel.ERROR, mask_passwords(str(error)))


def _data_dir(path: Path) -> Finding:
    try:
        existing = next(each for each in (path, *path.parents) if each.exists())
    except OSError as error:
        return Finding(
            "data directory", FindingLevel.ERROR, f"{path} cannot be used: {error.strerror}"
        )
    if existing == path and not path.is_dir():
        return Finding("data directory", FindingLevel.ERROR, f"{path} is not a directory")
    try:
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(bytes(LEAST_BYTES))
    except OSError as error:
        return Finding(
            "data directory",
            FindingLevel.ERROR,
            f"{existing} cannot be written to: {error.strerror}",
        )
    state = "is writable" if existing == path else "does not exist yet and can be created"
    return Finding("data directory", FindingLevel.OK, f"{path} {state}")


def _clock(path: Path) -> Iterator[Finding]:
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK) or not path.is_dir():
        return
    with tempfile.NamedTemporaryFile(dir=path) as probe:
        skew = abs(Path(probe.name).stat().st_mtime - time.time())
    level = FindingLevel.OK if skew < SKEW_LIMIT_SECONDS else FindingLevel.ERROR
    yield Finding(
        "clock", level, f"this machine's clock and that of the file system differ by {skew:.1f} s"
    )


def _sqlite_files(settings: Settings) -> list[tuple[str, Path]]:
    backends = (("broker file", settings.broker), ("database file", settings.database))
    return [(name, Path(url.path)) for name, url in backends if url.kind is BackendKind.SQLITE]


def _sqlite_version() -> Finding:
    linked = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info >= FIXED_VERSION:
        return Finding("sqlite", FindingLevel.OK, f"{linked} is linked")
    return Finding(
        "sqlite",
        FindingLevel.NOTE,
        f"{linked} is linked; before 3.51.3 simultaneous writers can corrupt a file, "
        "so a lock file serialises them",
    )


def _synchronous(settings: Settings) -> Finding:
    if settings.sqlite_synchronous == "FULL":
        return Finding(
            "durability", FindingLevel.OK, "synchronous=FULL: accepted jobs survive power loss"
        )
    return Finding(
        "durability",
        FindingLevel.NOTE,
        "synchronous=NORMAL: the newest jobs can be lost if the machine (not only a process) crashes",
    )


def _filesystem(name: str, path: Path) -> Finding:
    kind = filesystem_type(path)
    if kind in NETWORK_TYPES:
        text = (
            f"{path} is on {kind}, on which SQLite's locks are unreliable: move it to a local disk"
        )
        return Finding(name, FindingLevel.ERROR, text)
    return Finding(name, FindingLevel.OK, f"{path} is on {kind or 'an unknown file system'}")


def _file_mode(name: str, path: Path) -> Iterator[Finding]:
    """Query SQLite itself: closing a descriptor of our own would drop the locks of this process."""
    try:
        if not path.exists():
            yield Finding(
                name, FindingLevel.NOTE, f"{path} does not exist yet; the first use creates it"
            )
            return
        if path.is_dir():  # SQLite would open it for reading, and only then fail: "disk I/O error"
            yield Finding(
                name, FindingLevel.ERROR, f"{path} cannot be read: unable to open database file"
            )
            return
        if path.stat().st_size == 0:
            return
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
            mode = reader.execute("PRAGMA journal_mode").fetchone()[0]
    except OSError as error:
        yield Finding(name, FindingLevel.ERROR, f"{path} cannot be read: {error.strerror}")
    except sqlite3.OperationalError as error:
        yield Finding(name, FindingLevel.ERROR, f"{path} cannot be read: {error}")
    except sqlite3.DatabaseError:
        yield Finding(name, FindingLevel.ERROR, f"{path} is not an SQLite file")
    else:
        if mode != "wal":
            yield Finding(name, FindingLevel.ERROR, f"{path} is not in WAL mode")


async def _lock(name: str, path: Path) -> Finding:
    first = holder = holder_of(path)
    for _ in range(_PROBES):
        if holder is None or holder != first:
            return Finding(name, FindingLevel.OK, "no process holds the write lock")
        await asyncio.sleep(0.05)
        holder = holder_of(path)
    stopped = (
        " and is stopped: continue it (kill -CONT) or terminate it" if _is_stopped(first) else ""
    )
    level = FindingLevel.ERROR if stopped else FindingLevel.NOTE
    return Finding(name, level, f"process {first} has held the write lock for a second{stopped}")


def _is_stopped(pid: int | None) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] in {"T", "t"}


def _engine(name: str, kind: str, *, ok: bool, notes: tuple[str, ...]) -> Iterator[Finding]:
    if ok:
        yield Finding(name, FindingLevel.OK, f"{kind} answers")
    for note in notes if ok else ():
        if sqlite3.sqlite_version not in note:  # the finding about the machine reports it
            yield Finding(name, FindingLevel.NOTE, note)


def _durability(level_text: str) -> Iterator[Finding]:
    if level_text:
        level = FindingLevel.OK if level_text.startswith("always") else FindingLevel.NOTE
        yield Finding("durability", level, f"level {level_text}")


def _database(status: Status) -> Iterator[Finding]:
    health = status.database
    if health is not None:
        yield from _engine("database", health.kind, ok=health.ok, notes=health.notes)


def _left_off(status: Status) -> Iterator[Finding]:
    if status.types_left_off:
        left_off = plural(status.types_left_off, "type")
        text = f"{left_off} that no live worker serves, beyond a thousand, were not checked"
        yield Finding("queues", FindingLevel.NOTE, text)


async def _batches(reads: Reads, status: Status) -> list[Finding]:
    try:
        ids, number = await reads.left_open_batches(status.at, MOST_BATCHES)
    except HmsError as error:
        return [failed("batches", error)]
    if not ids:
        return []
    which = "1 batch has" if number == 1 else f"{number:,} batches have"
    more = f" and {number - len(ids):,} more" if number > len(ids) else ""
    text = (
        f"{which} been open without a new member for more than {duration_text(LONG_OPEN_MS)}, and nothing "
        f"follows until the producer submits the rest, with the same id and jobs: {', '.join(ids)}{more}; to "
        f"continue with the jobs that were accepted: {BY_NAME['close-batch'].command_line('ID')}; "
        "to stop the jobs of one: hms-svc jobs cancel --where batch:ID"
    )
    return [Finding("batches", FindingLevel.NOTE, text)]


async def _outbox(reads: Reads, status: Status) -> Finding:
    try:
        rows = await reads.database.outbox.waiting(1)
    except DatabaseUnavailable as error:
        return failed("outbox", error)
    if not rows:
        return Finding("outbox", FindingLevel.OK, "everything committed has been published")
    lag = status.at - _made_at(rows[0], status.at)
    level = FindingLevel.ERROR if lag > LAG_LIMIT_MS and status.workers else FindingLevel.NOTE
    text = f"the oldest row has waited {duration_text(lag)} to be published"
    return Finding("outbox", level, text)


async def _audit(audit: AuditChain, now: int) -> Finding:
    try:
        found = await audit.status()
    except HmsError as error:
        return failed("audit", error)
    newest = found.newest
    if newest is None:
        level = FindingLevel.ERROR if found.chain_link and found.lasting else FindingLevel.NOTE
        why = "hms-svc serve publishes one" if found.lasting else "memory:// keeps none"
        return Finding("audit", level, f"no head of the audit chain is kept: {why}")
    if not found.contained:
        text = (
            f"the record does not contain the kept head, link {newest.link}: hms-svc audit verify"
        )
        return Finding("audit", FindingLevel.ERROR, text)
    signed = "signed" if newest.signature else "not signed"
    text = f"the head at link {newest.link} has been kept for {duration_text(now - newest.at)}, {signed}"
    if newest.unproven:
        text += f"; links 1 to {newest.unproven} are unproven: hms-svc audit verify"
    return Finding("audit", FindingLevel.NOTE if newest.unproven else FindingLevel.OK, text)


def _made_at(entry: OutboxEntry, default: int) -> int:
    if entry.event is not None:
        return entry.event.at
    return entry.job.enqueued_at if entry.job is not None else default
