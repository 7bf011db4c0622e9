"""Drive a console in tests: press keys, and read the screen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot

from hms_svc.cli.session import Session
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import make_job
from hms_svc.domain.views import AuditRecord, JobView
from hms_svc.operations.service import Operations
from hms_svc.processes.embedded import ThreadWorkers
from hms_svc.tui.app import Console
from hms_svc.tui.launch import Facts, Launch, Workforce
from hms_svc.tui.screens.base import current_screen
from hms_svc.tui.screens.job_list import JobList
from hms_svc.tui.widgets.grid import Grid
from tests.support.waiting import until

PATIENCE_SECONDS: Final = 20.0
TURNS: Final = 3
"""A key goes from the application to a widget, and its message from there to the screen."""
FACTS: Final = Facts(broker="here", database="here", namespace="test", actor="ann", profile="test")
POTHOLE: Final = {"user_id": "usr-1", "lat": 38.8977, "lon": -77.0365}


def put_cursor(grid: Grid, key: str) -> None:
    """Move the cursor of a table to the row with a key."""
    assert any(row.key == key for row in grid.rows)
    grid._put(key)
    grid._scroll_to_cursor()


class ConsoleDriver:
    """A running console with its pilot, and helpers for what most tests do."""

    def __init__(self, console: Console, pilot: Pilot[int]) -> None:
        self.console = console
        self.pilot = pilot

    async def operations(self) -> Operations:
        """Return the console's own operator service."""
        return self.console.store.operations()

    async def press(self, *keys: str) -> None:
        """Press keys, each after the previous one was handled; a character stands for its key."""
        for key in keys:
            self._send(key)
            await self.settle()

    async def press_at_once(self, *keys: str) -> None:
        """Press keys that arrive from the terminal together."""
        for key in keys:
            self._send(key)
        await self.settle()

    def _send(self, key: str) -> None:
        driver = self.console._driver
        assert driver is not None
        name = _character_to_key(key) if len(key) == 1 else key
        event = events.Key(name, _CHARACTERS.get(key, key if len(key) == 1 else None))
        event.set_sender(self.console)
        driver.send_message(event)

    async def settle(self) -> None:
        """Wait until the widgets have handled all their messages."""
        for _ in range(TURNS):
            await self.pilot._wait_for_screen()
        self.console.screen._on_timer_update()

    async def type(self, text: str) -> None:
        """Type a text into the focused widget, faster than it is drawn."""
        await self.press_at_once(*text)

    async def put(self, text: str) -> None:
        """Replace the text of the focused input."""
        await self.press("end", "ctrl+u")
        await self.type(text)

    async def until(self, what: str, holds: Callable[[], object]) -> None:
        """Let the console run until a condition holds."""
        await until(what, holds, PATIENCE_SECONDS, pause=self._refresh, found=self.text)

    async def _refresh(self) -> None:
        self.console.store.refresh_now(force=True)
        await self.pilot.pause(0.005)

    async def sees(self, text: str) -> None:
        """Wait until a text is on the screen."""
        await self.until(f"{text!r} is shown", lambda: text in self.text())

    async def reads(self, text: str) -> None:
        """Wait until a text is on the screen, ignoring line breaks."""

        def flat() -> str:
            return " ".join(self.text().replace("│", " ").split())

        await self.until(f"{text!r} can be read", lambda: text in flat())

    def lines(self) -> list[str]:
        """Return the lines of the topmost screen."""
        return [strip.text for strip in self.console.screen._compositor.render_strips()]

    def text(self) -> str:
        """Return the lines as one text."""
        return "\n".join(self.lines())

    @property
    def screen(self) -> str:
        """The class name of the topmost screen or dialog."""
        return type(self.console.screen).__name__

    @property
    def page(self) -> JobList:
        """The list of jobs on the screen."""
        console_screen = current_screen(self.console)
        assert isinstance(console_screen, JobList), f"{console_screen} is no list of jobs"
        return console_screen

    def grid(self, name: str) -> Grid:
        """Return a table of the current screen."""
        console_screen = current_screen(self.console)
        assert console_screen is not None
        return console_screen.query_one(f"#{name}", Grid)

    async def opened(self, screen: str) -> None:
        """Wait until a dialog or screen of this name is on top."""
        await self.until(
            f"{screen} is open",
            lambda: self.screen == screen and self.console.screen.query("Bar"),
        )
        await self.settle()

    async def shows_jobs(self, number: int) -> None:
        """Wait until the page has this many jobs."""
        await self.until(f"{number} jobs are shown", lambda: len(self.page.grid.rows) == number)

    async def enqueue(self, type: str, *many: object, **fields: Any) -> list[str]:
        """Enqueue a job with each of these data, and return the ids."""
        operations = await self.operations()
        now = operations.reads.now_ms()
        jobs = [make_job(type, data, now_ms=now, **fields) for data in many]
        await operations.actions._broker.enqueue(jobs)
        return [job.id for job in jobs]

    async def jobs(self, where: str = "") -> list[JobView]:
        """Return the jobs that match."""
        operations = await self.operations()
        page = await operations.reads.jobs(parse_filter(where), limit=0, cursor=None)
        return list(page.jobs)

    async def audit(self) -> list[AuditRecord]:
        """Return the audit records, newest first."""
        return list(
            await (await self.operations()).reads.database.audit.records(limit=0, cursor=None)
        )


_CHARACTERS: Final = {"space": " "}


@asynccontextmanager
async def drive_console(
    settings: Mapping[str, object],
    *,
    read_only: bool = False,
    works: bool = False,
    waits: bool = True,
    types: Iterable[str] = (),
    size: tuple[int, int] = (120, 40),
    memory: Path | None = None,
) -> AsyncIterator[ConsoleDriver]:
    """Open the console with these settings; if it `works`, with embedded workers.

    If it `waits`, wait for the first snapshot.
    """
    session = Session(
        settings,
        config_path=None,
        read_only=read_only,
        environ={"HMS_SVC_CONFIG": ""},
    )
    workforce: Workforce | None = ThreadWorkers(session.settings, types) if works else None
    launch = Launch(
        operations=lambda: session.operations(with_rules=True),
        without_database=lambda: session.operations(database=False, with_rules=True),
        facts=msgspec.structs.replace(FACTS, read_only=read_only),
        workforce=workforce,
        memory=memory,
        filters=session.settings.data_dir / "filters.json",
    )
    console = Console(launch)
    async with console.run_test(size=size) as pilot:
        driver = ConsoleDriver(console, pilot)
        try:
            if waits:
                await driver.until("the console has a snapshot", lambda: console.store.snapshot.at)
            yield driver
        finally:
            if workforce is not None:
                workforce.stop()
                workforce.stop()
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await workforce.wait_stopped()
