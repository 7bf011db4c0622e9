"""The composition root: the only module that names concrete classes."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from hms_svc.domain import extras
from hms_svc.domain.backend_url import BackendKind, sqlite_url
from hms_svc.domain.errors import BadInput, BadSetting
from hms_svc.ports.backend import Backend
from hms_svc.ports.clock import Clock, SystemClock
from hms_svc.settings import Settings

if TYPE_CHECKING:
    from hms_svc.brokers.redis.inspector import RedisInspector
    from hms_svc.brokers.redis.link import Link
    from hms_svc.brokers.retention import Retention
    from hms_svc.brokers.sqlite.queue_file import QueueFile
    from hms_svc.domain.job import Job
    from hms_svc.operations.envelopes import EnvelopeIntake
    from hms_svc.persistence.engine import Engine
    from hms_svc.ports.bus import Bus
    from hms_svc.ports.control import Control
    from hms_svc.ports.database import Database
    from hms_svc.ports.inspection import Inspection
    from hms_svc.ports.policy import Policy
    from hms_svc.ports.tracing import Tracer
    from hms_svc.runtime.worker_options import Engines, WorkerOptions
    from hms_svc.sdk.registry import Registry


@cache
def _memory_folder() -> Path:
    """Create the directory behind `memory://`; it is removed with this process."""
    folder = Path(tempfile.mkdtemp(prefix="hms-svc-"))
    atexit.register(_remove_own, folder, os.getpid())
    return folder


def _remove_own(folder: Path, maker: int) -> None:
    if os.getpid() == maker:  # not in a forked child
        shutil.rmtree(folder, ignore_errors=True)


def resolve(settings: Settings) -> Settings:
    """Return the settings with `memory://` replaced by a directory that child processes share."""
    if settings.broker.kind is not BackendKind.MEMORY:
        return settings
    url = sqlite_url(str(_memory_folder() / "queue.db"))
    return msgspec.structs.replace(settings, broker_url=url)


def backend(
    settings: Settings,
    clock: Clock | None = None,
    *,
    complete: Callable[[Job], Job] | None = None,
    on_replaced: Callable[[], None] | None = None,
    bounded: bool = False,
) -> Backend:
    """Return the broker of these settings, not yet opened.

    With `bounded`, as front ends require, no call waits longer than `ports.answer_timeout.MOST_SECONDS`
    for a server that does not answer.

    `complete` adds what a type declares to jobs that were pushed into an intake.
    `on_replaced` is called once, on the loop that opened it, if its file is no longer at
    its path: it has to be reopened.
    """
    url = resolve(settings).broker
    if url.kind is not BackendKind.SQLITE:
        return _redis_backend(settings, clock, complete, bounded=bounded)
    from hms_svc.brokers.sqlite.broker import SQLiteBroker
    from hms_svc.brokers.sqlite.queue_file import QueueFile

    file = QueueFile(
        Path(url.path),
        clock or SystemClock(),
        synchronous=cast("Literal['FULL', 'NORMAL']", settings.sqlite_synchronous),
        on_replaced=on_replaced,
        bounded=bounded,
    )
    return Backend(
        SQLiteBroker(file),
        inspection=partial(_sqlite_inspection, file, settings),
        control=partial(_sqlite_control, file, settings),
        bus=partial(_sqlite_bus, file),
    )


def _redis_backend(
    settings: Settings,
    clock: Clock | None,
    complete: Callable[[Job], Job] | None,
    *,
    bounded: bool,
) -> Backend:
    return redis_backend(settings, redis_link(settings, clock, bounded=bounded), complete)


def redis_link(settings: Settings, clock: Clock | None = None, *, bounded: bool = False) -> Link:
    """Return the link to the Redis of these settings, not yet opened; see `backend`."""
    from hms_svc.brokers.redis.clients import ServerClients
    from hms_svc.brokers.redis.link import Link

    clients = ServerClients(settings.broker)
    return Link(settings.broker, settings.namespace, clients, clock, bounded=bounded)


def redis_backend(
    settings: Settings, link: Link, complete: Callable[[Job], Job] | None = None
) -> Backend:
    """Return the broker over a link to Redis, not yet opened; see `backend`."""
    from hms_svc.brokers.redis.broker import RedisBroker

    return Backend(
        RedisBroker(link, complete),
        inspection=partial(_redis_inspection, link, settings),
        control=partial(_redis_control, link, settings),
        bus=partial(_redis_bus, link),
    )


def _redis_inspection(link: Link, settings: Settings) -> RedisInspector:
    from hms_svc.brokers.redis.inspector import RedisInspector

    return RedisInspector(link, lease_seconds=settings.lease_seconds)


def _redis_control(link: Link, settings: Settings) -> Control:
    from hms_svc.brokers.redis.control import RedisControl

    return RedisControl(link, _retention(settings), _redis_inspection(link, settings))


def _redis_bus(link: Link) -> Bus:
    from hms_svc.brokers.redis.bus import RedisBus

    return RedisBus(link)


def _retention(settings: Settings) -> Retention:
    from hms_svc.brokers.retention import Retention

    return Retention(
        completed_days=settings.completed_days,
        completed_most=settings.completed_max,
        undo_seconds=settings.discard_undo_seconds,
    )


def _sqlite_inspection(file: QueueFile, settings: Settings) -> Inspection:
    from hms_svc.brokers.sqlite.inspector import SQLiteInspector

    return SQLiteInspector(file, lease_seconds=settings.lease_seconds)


def _sqlite_control(file: QueueFile, settings: Settings) -> Control:
    from hms_svc.brokers.sqlite.control import SQLiteControl

    return SQLiteControl(file, _retention(settings), lease_seconds=settings.lease_seconds)


def _sqlite_bus(file: QueueFile) -> Bus:
    from hms_svc.brokers.sqlite.bus import SQLiteBus

    return SQLiteBus(file)


def database(
    settings: Settings,
    clock: Clock | None = None,
    *,
    on_replaced: Callable[[], None] | None = None,
    bounded: bool = False,
) -> Database:
    """Return the database of these settings, not yet opened; for the options see `backend`."""
    extras.require_full_distribution("the case database", "sqlalchemy")
    extras.check_database(settings.database_url)
    from hms_svc.persistence.database import SqlDatabase

    postgresql = settings.database.kind is BackendKind.POSTGRESQL
    engine = (
        postgres_engine(settings, bounded=bounded)
        if postgresql
        else _sqlite_engine(settings, on_replaced, bounded=bounded)
    )
    return SqlDatabase(engine, clock or SystemClock())


def _sqlite_engine(
    settings: Settings, on_replaced: Callable[[], None] | None, *, bounded: bool
) -> Engine:
    from hms_svc.persistence.sqlite_engine import SQLiteEngine
    from hms_svc.sqlite.file import SQLiteFile

    synchronous = cast("Literal['FULL', 'NORMAL']", settings.sqlite_synchronous)
    path = Path(settings.database.path)
    return SQLiteEngine(
        SQLiteFile(path, synchronous=synchronous, on_replaced=on_replaced, bounded=bounded)
    )


def postgres_engine(settings: Settings, *, bounded: bool = False) -> Engine:
    """Return the engine of the PostgreSQL of these settings, not yet opened."""
    from hms_svc.persistence.postgres_address import read_postgres_address
    from hms_svc.persistence.postgres_engine import PostgresEngine

    return PostgresEngine(
        read_postgres_address(settings.database),
        pool_size=settings.database_pool_size,
        statement_seconds=settings.database_statement_timeout_seconds,
        bounded=bounded,
    )


def policy(settings: Settings) -> Policy:
    """Return the governance policy: the remote service if one is set, else the rules of a file."""
    extras.require_full_distribution("governance", "cel")
    if settings.policy_url:
        from hms_svc.governance.remote import RemotePolicy

        return RemotePolicy(
            settings.policy_url,
            timeout_seconds=settings.policy_timeout_seconds,
            ca_file=settings.ca_file,
        )
    from hms_svc.governance.local import load_local_policy

    return load_local_policy(settings.policy_file)


def tracer(settings: Settings, instance: str = "") -> Tracer | None:
    """Return the exporter of this process's traces; None if no collector is set.

    `instance` is a name that no other process has; one is generated if it is empty.
    """
    if not settings.otlp_endpoint:
        return None
    extras.check_traces(settings.otlp_endpoint)
    from hms_svc.observability.tracing import OtlpTracer
    from hms_svc.runtime.worker_ids import make_worker_id

    name = instance or make_worker_id()
    return OtlpTracer(settings.otlp_endpoint, namespace=settings.namespace, instance=name)


@asynccontextmanager
async def engines(
    settings: Settings,
    registry: Registry,
    worker_id: str = "",
    *,
    clock: Clock | None = None,
    on_replaced: Callable[[], None] | None = None,
) -> AsyncIterator[Engines]:
    """Open all that a worker works with, the application's resources last, and close it again.

    Traces have the worker's id. For `on_replaced` see `backend`. Raises ResourceFailed.
    """
    from hms_svc.runtime.worker_options import Engines
    from hms_svc.sdk.job_defaults import complete_if_possible
    from hms_svc.sdk.open_resources import opened_resources

    own_clock, clock = clock, clock or SystemClock()
    rules = policy(settings)
    cases = database(settings, clock, on_replaced=on_replaced)
    traces = tracer(settings, worker_id)
    complete = partial(complete_if_possible, registry=registry)
    # Without a clock of its own Redis decides by the time of its server, which all workers share.
    async with backend(settings, own_clock, complete=complete, on_replaced=on_replaced) as queue:
        await cases.open()
        try:
            await queue.broker.raise_fences(await cases.effects.highest_fence())
            async with opened_resources(registry, settings.apps) as bound:
                yield Engines(
                    queue.broker,
                    queue.inspection,
                    queue.control,
                    queue.bus,
                    cases,
                    rules,
                    registry,
                    clock,
                    traces,
                    bound,
                )
        finally:
            await rules.close()
            await cases.close()
            if traces is not None:
                await traces.close()


def application(
    settings: Settings, *, ready: bool = False, only: Collection[str] | None = None
) -> Registry:
    """Return the job types that are served: the built-in ones, then those of each `--app`.

    `ready` also loads what the handlers will need, as a worker does; `only`
    leaves out built-in types that a producer does not need. Raises BadSetting
    for an app that cannot be loaded, or has an invalid declaration.
    """
    from hms_svc.sdk.agencies_file import load_agencies
    from hms_svc.sdk.apps import check_injection, installed_apps, load_app
    from hms_svc.services import INTERNAL, builtin_registry

    if not settings.builtin_types:
        only = INTERNAL if only is None else INTERNAL.intersection(only)
    registry = builtin_registry(
        reports_per_hour=settings.reports_per_hour,
        blocked_users=settings.blocked_users,
        places_file=settings.places_file,
        webhook_url=settings.webhook_url,
        webhook_secret=settings.webhook_secret,
        webhook_allowed_hosts=settings.webhook_allowed_hosts,
        ca_file=settings.ca_file,
        agencies=load_agencies(settings.agencies_file) if ready else None,
        ready=ready,
        only=only,
    )
    names = (*settings.app, *installed_apps())
    for name in names:
        try:
            registry.include(load_app(name))
        except BadInput as error:
            raise BadSetting(f"app {name!r}: {error}") from error
    if names:
        check_injection(registry, names)
    return registry


def load_worker_modules(settings: Settings) -> None:
    """Load what a worker with these settings needs, and open nothing; what is missing is reported when it is needed."""
    with suppress(ImportError, BadSetting):
        from hms_svc.services import builtin_registry

        builtin_registry()
        for module in ("governance.local", "sdk.agencies_file"):
            import_module(f"hms_svc.{module}")
        database(settings)
        if settings.broker.kind is not BackendKind.MEMORY:
            queue = backend(settings)
            for interface in ("inspection", "control", "bus"):
                getattr(queue, interface)


def check_application(settings: Settings) -> None:
    """Raise BadSetting if the types of an `--app` cannot be served; nothing else is loaded."""
    from hms_svc.sdk.apps import installed_apps

    if settings.app or settings.apps or installed_apps():
        from hms_svc.sdk.app_settings import check_app_settings

        check_app_settings(application(settings).scopes, settings.apps)


def envelope_intake(settings: Settings) -> EnvelopeIntake:
    """Return the intake for envelopes of other agencies; BadSetting for an invalid agencies file."""
    from hms_svc.operations.envelopes import EnvelopeIntake
    from hms_svc.sdk.agencies_file import load_agencies

    return EnvelopeIntake(load_agencies(settings.agencies_file), SystemClock())


def worker_options(
    settings: Settings, *, worker_id: str, drain: bool = False, inline_suspects: bool = False
) -> WorkerOptions:
    """Return the options of one worker process under these settings."""
    from hms_svc.runtime.worker_options import WorkerOptions
    from hms_svc.sdk.agencies_file import load_agencies

    return WorkerOptions(
        worker_id=worker_id,
        slots=settings.concurrency,
        lease_seconds=settings.lease_seconds,
        timeout_seconds=settings.job_timeout_seconds,
        grace_seconds=settings.grace_seconds,
        radius_m=settings.case_radius_m,
        unserved_days=settings.unserved_days,
        completed_days=settings.completed_days,
        failed_days=settings.failed_days,
        hung_seconds=settings.lease_seconds / 3,
        drain=drain,
        inline_suspects=inline_suspects,
        receivers=load_agencies(settings.agencies_file).receivers,
        namespace=settings.namespace,
        audit_key=settings.audit_key,
    )
