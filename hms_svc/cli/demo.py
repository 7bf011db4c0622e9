"""`hms-svc demo`: a simulated city in its own directory, shown in the console."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hms_svc.cli.root import complain
from hms_svc.cli.session import Session, session_of

if TYPE_CHECKING:
    from hms_svc.demo.simulation import Simulation

SECRET: Final = "the demo keeps no secrets"  # noqa: S105 - only this process uses this server
GRACE_SECONDS: Final = 5.0
HURRY_SECONDS: Final = 5.0
NOT_READ: Final = {"HMS_SVC_CONFIG": ""}


def demo(
    context: typer.Context,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the files of the city in this directory."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Each number makes a different city.")] = 1,
    rate: Annotated[float, typer.Option(min=0.1, max=500, help="Events per second.")] = 3.0,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="Jobs to run at a time.")] = 8,
    headless: Annotated[
        bool, typer.Option("--headless", help="Show no console; print `status` at the end.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="How long to run, with --headless.")
    ] = 10.0,
) -> None:
    """Open the console with a busy simulated city.

    Your own data is neither read nor changed. With --broker-url it uses an empty logical database of that
    Redis, and empties it at the end.
    """
    given = session_of(context)
    given.check_writable("demo")
    from hms_svc.cli.interruption import end_as_by_ctrl_c

    end_as_by_ctrl_c()
    with _folder(keep) as folder:
        from hms_svc.demo.crew_office import CrewOffice
        from hms_svc.demo.simulation import Simulation

        given.overrides["data_dir"] = folder  # the default would require a home directory
        began = time.time()
        with (
            CrewOffice(began, seed) as office,
            _own_broker(_session(given, folder, office.url, concurrency)) as session,
        ):
            city = Simulation(session.settings, seed=seed, rate=rate, began=began)
            code = _work(session, city, seconds) if headless else _watch(session, city)
    raise typer.Exit(code)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    made = Path(tempfile.mkdtemp(prefix="hms-svc-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _session(given: Session, folder: Path, webhook_url: str, concurrency: int) -> Session:
    from hms_svc.demo.city import BLOCKED_USER

    overrides = {
        "data_dir": folder,
        "broker_url": given.overrides["broker_url"],
        "namespace": f"demo-{os.getpid()}-{os.urandom(3).hex()}",
        "actor": "demo",
        "app": ("hms_svc.demo.services:app",),
        "blocked_users": (BLOCKED_USER,),
        "webhook_url": webhook_url,
        "webhook_secret": SECRET,
        "webhook_allowed_hosts": ("127.0.0.1",),
        "concurrency": concurrency,
        "grace_seconds": GRACE_SECONDS,
        "profile": "demo",
        "theme": given.settings.theme,
    }
    return Session(overrides, config_path=None, read_only=given.read_only, environ=NOT_READ)


@contextmanager
def _own_broker(session: Session) -> Iterator[Session]:
    """Return the session on an empty logical database of its Redis, or the session itself without one."""
    import asyncio

    from hms_svc.domain.backend_url import BackendKind

    url = session.settings.broker
    if url.kind not in {BackendKind.REDIS, BackendKind.SENTINEL}:
        yield session
        return
    from hms_svc.brokers.redis.scratch import release_database, take_database

    namespace = session.settings.namespace
    taken = asyncio.run(take_database(url, namespace, int(time.time())))
    try:
        overrides = session.overrides | {"broker_url": taken.text}
        yield Session(overrides, config_path=None, read_only=session.read_only, environ=NOT_READ)
    finally:
        asyncio.run(release_database(taken, namespace))


def _watch(session: Session, city: Simulation) -> int:
    from hms_svc.cli.console import ConsoleOptions, open_console

    with city:
        return open_console(session, ConsoleOptions())


def _work(session: Session, city: Simulation, seconds: float) -> int:
    from hms_svc.cli.session import run
    from hms_svc.cli.status import show_status
    from hms_svc.observability.logs import set_up_logging
    from hms_svc.processes.embedded import ThreadWorkers

    # Jobs of the simulation fail on purpose, and each that is dead would be logged as an error.
    set_up_logging("critical", session.settings.log_format)
    workers = ThreadWorkers(session.settings)
    workers.start()
    try:
        with city:
            workers.wait_started()
            workers.join(seconds)
    finally:
        workers.stop()
        workers.stop()
        workers.join(HURRY_SECONDS)
    if workers.state.startswith("stopped: "):
        complain(workers.state)
    run(lambda: show_status(session, as_json=True))
    return 0
