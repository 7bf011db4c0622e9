"""`hms-svc` without a command: the console, with workers beside it."""

from __future__ import annotations

import gc
import os
import re
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import typer

from hms_svc.cli.root import BAD_INPUT, OUR_FAULT, complain
from hms_svc.cli.session import Session
from hms_svc.domain.errors import BadInput, HmsError
from hms_svc.domain.local_time import ZONE

if TYPE_CHECKING:
    from hms_svc.operations.service import Operations
    from hms_svc.processes.embedded import EmbeddedWorkers
    from hms_svc.settings import Settings
    from hms_svc.tui.idle_collection import IdleCollection
    from hms_svc.tui.launch import Facts, Launch, SnapshotFile
    from hms_svc.tui.terminal import Terminal

LOG_FILE: Final = "console.log"
FILTERS_FILE: Final = "filters.json"
HURRY_SECONDS: Final = 3.0
NO_TERMINAL: Final = (
    "the console needs a terminal on standard input and output; without one use: "
    "hms-svc serve (workers), hms-svc status or hms-svc --snapshot FILE.svg"
)


class ConsoleOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the console. `size` is COLUMNSxLINES."""

    attach: bool = False
    workers: str = "thread"
    types: tuple[str, ...] = ()
    snapshot: Path | None = None
    size: str = "120x40"
    screen: str = "overview"
    where: str = ""


def open_console(session: Session, options: ConsoleOptions) -> int:
    """Show the console until the user leaves it; return the exit code."""
    snapshot = _snapshot(options)
    _check_screen(options)
    _check_keys(session)
    settings = _settings(session)
    _check_extras(session, options)
    if snapshot is not None:
        from hms_svc.tui.run import run_console

        gc.enable()
        return run_console(_launch(session, settings, options, snapshot=snapshot))
    return _show(session, settings, options)


class _Contexts:
    """The session whose console is shown next: the first one, or that of a context that was switched to."""

    def __init__(self, first: Session) -> None:
        self._first = self._next = first
        self._before: Session | None = None
        self._was_switched = False

    def go_back(self) -> bool:
        """Prepare the console that was shown before the last switch; False if there was none."""
        before, self._before = self._before, None
        if before is not None:
            self._next = before
        return before is not None

    def enter(self, name: str) -> None:
        """Prepare the console of a context, or with its name or none that of the first session; raises BadSetting."""
        from hms_svc.domain.extras import check_database

        made = self._first if name == self._first.context else self._first.in_context(name)
        check_database(made.settings.database_url)
        self._before, self._next, self._was_switched = self._next, made, True

    def taken(self, options: ConsoleOptions) -> tuple[Session, ConsoleOptions]:
        """Return what is shown next; after a switch the console begins with the first screen."""
        plain = msgspec.structs.replace(options, screen="overview", where="")
        return self._next, plain if self._was_switched else options


def _show(session: Session, settings: Settings, options: ConsoleOptions) -> int:
    from hms_svc.tui.terminal import Terminal, has_terminal

    if not has_terminal():
        complain(NO_TERMINAL)
        raise typer.Exit(BAD_INPUT)
    workforce = _workforce(settings, session, options)
    log_path = settings.data_dir / LOG_FILE
    has_ended = True
    try:
        with Terminal(log_path) as terminal:
            code = _show_each(session, settings, options, terminal, workforce)
        if code:
            complain(f"the console failed; the details are in {log_path}")
    finally:
        if workforce is not None:
            has_ended = _end(workforce, settings)
    if not has_ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(OUR_FAULT if code else 0)
    return OUR_FAULT if code else 0


def _show_each(
    session: Session,
    settings: Settings,
    options: ConsoleOptions,
    terminal: Terminal,
    workforce: EmbeddedWorkers | None,
) -> int:
    """Show one console after the other until the user leaves; after a failure return to the previous one."""
    from hms_svc.observability.logs import set_up_logging
    from hms_svc.tui.idle_collection import IdleCollection

    set_up_logging(settings.log_level, settings.log_format)
    collection = IdleCollection()
    with collection.running():
        return _show_contexts(session, options, terminal, workforce, collection)


def _show_contexts(
    session: Session,
    options: ConsoleOptions,
    terminal: Terminal,
    workforce: EmbeddedWorkers | None,
    collection: IdleCollection,
) -> int:
    from hms_svc.settings import is_in_tmux
    from hms_svc.tui.console_exit import SWITCHED
    from hms_svc.tui.driver import driver_for
    from hms_svc.tui.preferences import FILE as MEMORY_FILE
    from hms_svc.tui.run import run_console

    contexts = _Contexts(session)
    code, notice = SWITCHED, ""
    while code == SWITCHED:
        session, options = contexts.taken(options)
        shown = _settings(session)
        ZONE.set(shown.time_zone)
        launch = msgspec.structs.replace(
            _launch(session, shown, options),
            workforce=workforce,
            driver=driver_for(terminal),
            on_signals=terminal.leave_on_signals,
            is_in_tmux=is_in_tmux(),
            contexts=session.loaded.contexts,
            enter=contexts.enter,
            memory=shown.data_dir / MEMORY_FILE,
            notice=notice,
            collection=collection,
        )
        try:
            code, notice = run_console(launch), ""
        except HmsError as error:
            if not contexts.go_back():
                raise
            notice = f"context {session.context or 'default'}: {error}"
    return code


def _end(workforce: EmbeddedWorkers, settings: Settings) -> bool:
    """Wait for the workers; return whether they ended: workers that cannot stop do not block the exit."""
    seconds = HURRY_SECONDS
    if not workforce.is_asked_to_stop:
        workforce.stop()
        seconds += settings.grace_seconds
    return workforce.join(seconds)


def _settings(session: Session) -> Settings:
    from hms_svc.settings import CONSOLE_CONCURRENCY

    loaded = session.loaded
    if loaded.sources["concurrency"] != "default":
        return loaded.settings
    return msgspec.structs.replace(loaded.settings, concurrency=CONSOLE_CONCURRENCY)


def _workforce(
    settings: Settings, session: Session, options: ConsoleOptions
) -> EmbeddedWorkers | None:
    if options.attach or session.read_only:
        return None
    from hms_svc.processes.embedded import ProcessWorkers, ThreadWorkers

    kind = ProcessWorkers if options.workers == "process" else ThreadWorkers
    return kind(settings, options.types)


def _launch(
    session: Session,
    settings: Settings,
    options: ConsoleOptions,
    snapshot: SnapshotFile | None = None,
) -> Launch:
    from hms_svc.tui.launch import Launch

    def operations() -> AbstractAsyncContextManager[Operations]:
        return session.operations(with_rules=True)

    def without_database() -> AbstractAsyncContextManager[Operations]:
        return session.operations(database=False, with_rules=True)

    return Launch(
        operations=operations,
        without_database=without_database,
        facts=_facts(session, settings),
        theme=settings.theme,
        snapshot=snapshot,
        screen=options.screen,
        where=options.where,
        filters=settings.data_dir / FILTERS_FILE,
        notify=settings.notify,
        keys=session.loaded.keys,
    )


def _facts(session: Session, settings: Settings) -> Facts:
    from hms_svc.domain.backend_url import mask_password
    from hms_svc.tui.launch import Facts

    return Facts(
        broker=mask_password(settings.broker_url),
        database=mask_password(settings.database_url),
        namespace=settings.namespace,
        actor=settings.actor,
        profile=settings.profile,
        production=settings.production,
        read_only=session.read_only,
    )


def _check_screen(options: ConsoleOptions) -> None:
    """Raise BadInput for an unknown first screen, and for a filter that it cannot use."""
    from hms_svc.domain.filter import parse_filter
    from hms_svc.tui.commands import SCREENS

    names = [name for name, *_ in SCREENS]
    if options.screen not in names:
        raise BadInput(f"--screen {options.screen!r} is not one of {', '.join(names)}")
    if options.where and options.screen != "jobs":
        raise BadInput(f"--where requires --screen jobs; {options.screen} takes no filter")
    parse_filter(options.where)


def _check_extras(session: Session, options: ConsoleOptions) -> None:
    """Raise BadSetting, before the terminal is taken over, if a setting needs an extra that is not installed."""
    from hms_svc.domain.extras import check_database, check_traces

    check_database(session.settings.database_url)
    if not (options.attach or session.read_only or options.snapshot):
        check_traces(session.settings.otlp_endpoint)


def _check_keys(session: Session) -> None:
    """Raise BadSetting, before the terminal is taken over, for invalid key bindings."""
    from hms_svc.tui.command_keys import remap

    remap(session.loaded.keys)


def _snapshot(options: ConsoleOptions) -> SnapshotFile | None:
    if options.snapshot is None:
        return None
    from hms_svc.tui.launch import SnapshotFile

    found = re.fullmatch(r"([0-9]{2,3})x([0-9]{2,3})", options.size)
    if found is None:
        raise BadInput(f"--size {options.size!r} is not a size such as 120x40")
    folder = options.snapshot.absolute().parent
    if not os.access(folder, os.W_OK) or options.snapshot.is_dir():
        raise BadInput(f"--snapshot {options.snapshot}: the file cannot be written")
    return SnapshotFile(path=options.snapshot, width=int(found[1]), height=int(found[2]))
