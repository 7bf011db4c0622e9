"""The end of the console: it waits until its connections are closed, for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hms_svc.cli.session import Session
from hms_svc.operations.service import Operations
from hms_svc.tui import console_exit
from hms_svc.tui.app import Console
from hms_svc.tui.launch import Launch
from tests.support.console import FACTS, ConsoleDriver

ITERATIONS = 2_000
"""More iterations of the event loop than the rest of the exit takes."""


async def _run_console(folder: Path, close: Callable[[], Awaitable[None]]) -> None:
    """Open the console, read once, and leave it; `close` runs when its connections are closed."""
    session = Session(
        {"data_dir": str(folder)}, config_path=None, read_only=False, environ={"HMS_SVC_CONFIG": ""}
    )

    @asynccontextmanager
    async def operations() -> AsyncIterator[Operations]:
        async with session.operations() as opened:
            try:
                yield opened
            finally:
                await close()

    console = Console(Launch(operations=operations, facts=FACTS))
    async with console.run_test() as pilot:
        driver = ConsoleDriver(console, pilot)
        await driver.until("the console has a snapshot", lambda: console.store.snapshot.at)


async def test_the_console_ends_after_its_connections_are_closed(tmp_path: Path) -> None:
    closed = []

    async def close() -> None:
        for _ in range(ITERATIONS):
            await asyncio.sleep(0)
        closed.append(True)

    await _run_console(tmp_path, close)
    assert closed == [True]


async def test_the_console_waits_only_a_while_for_a_connection_that_does_not_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_exit, "CLOSE_SECONDS", 0.01)
    interrupted = []

    async def close() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            interrupted.append(True)
            raise

    await _run_console(tmp_path, close)
    assert interrupted == [True]
