"""Data of a benchmark's own, on the engines of an installation: made, named after the run, and removed."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from hms_svc import bootstrap
from hms_svc.domain.backend_url import BackendKind, sqlite_url
from hms_svc.settings import Settings

_NAME: Final = "hms_svc_bench_{at}_{salt}"
_NAMED: Final = re.compile(r"hms_svc_bench_(\d{10})_[0-9a-f]{6}")
STALE_SECONDS: Final = 3_600
"""Data of a run that began longer ago belongs to one that was killed: the next run removes it."""


@asynccontextmanager
async def scratch(settings: Settings) -> AsyncIterator[Settings]:
    """Return the settings of an installation with nothing in it, on the same disks and servers.

    SQLite files are made in a folder beside those of the installation, PostgreSQL tables in
    a schema of their own, and Redis keys in an empty logical database. All are removed at the end.
    """
    settings, now = bootstrap.resolve(settings), int(time.time())
    run = _NAME.format(at=now, salt=os.urandom(3).hex())
    changes: dict[str, object] = {
        "namespace": run,
        "app": ("hms_svc.bench.app:app",),
        "policy_url": "",
        "policy_file": None,
        "otlp_endpoint": "",
        "agencies_file": None,
        "places_file": None,
        "profile": "",
    }
    async with AsyncExitStack() as stack:
        if settings.broker.kind is BackendKind.SQLITE:
            folder = _folder(stack, Path(settings.broker.path).parent, run, now)
            changes["broker_url"] = sqlite_url(str(folder / "queue.db"))
        else:
            changes["broker_url"] = await _redis_database(stack, settings, run, now)
        if settings.database.kind is BackendKind.SQLITE:
            folder = _folder(stack, Path(settings.database.path).parent, run, now)
            changes["database_url"] = sqlite_url(str(folder / "cases.db"))
        else:
            changes["database_url"] = await _schema(stack, settings, run, now)
        yield msgspec.structs.replace(settings, **changes)


def _folder(stack: AsyncExitStack, parent: Path, run: str, now: int) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    for found in parent.glob("hms_svc_bench_*"):
        if _is_stale(found.name, now):
            shutil.rmtree(found, ignore_errors=True)
    folder = parent / run
    folder.mkdir(mode=0o700, exist_ok=True)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


async def _redis_database(stack: AsyncExitStack, settings: Settings, run: str, now: int) -> str:
    from hms_svc.brokers.redis.scratch import release_database, take_database

    url = await take_database(settings.broker, run, now)
    stack.push_async_callback(release_database, url, run)
    return url.text


async def _schema(stack: AsyncExitStack, settings: Settings, run: str, now: int) -> str:
    from hms_svc.persistence.scratch import drop_schema, make_schema, schemas_like

    engine = bootstrap.postgres_engine(settings)
    for name in await schemas_like(engine, "hms_svc_bench_"):
        if _is_stale(name, now):
            await drop_schema(engine, name)
    await make_schema(engine, run)
    stack.push_async_callback(drop_schema, engine, run)
    parts = urlsplit(settings.database_url)
    options = [pair for pair in parse_qsl(parts.query) if pair[0] != "search_path"]
    query = urlencode([*options, ("search_path", run)])
    return urlunsplit(parts._replace(query=query))


def _is_stale(name: str, now: int) -> bool:
    named = _NAMED.fullmatch(name)
    return named is not None and int(named[1]) < now - STALE_SECONDS
