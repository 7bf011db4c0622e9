"""Calls that the console makes once, after a moment, on a machine that is late."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from textual import _time

from hms_svc.tui.launch import SnapshotFile
from hms_svc.tui.screenshot import ScreenshotWriter
from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def late_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass between any two looks of a one-shot timer of Textual at the clock."""
    look, passed = _time.get_time, 0

    def look_late() -> float:
        nonlocal passed
        passed += sys._getframe(1).f_locals.get("_repeat") == 0
        return look() + passed

    monkeypatch.setattr(_time, "get_time", look_late)


async def test_the_first_query_and_the_preview_are_begun(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await driver.sees("38.8977")


async def test_a_screenshot_is_written(tmp_path: Path, open_console: ConsoleMaker) -> None:
    path = tmp_path / "console.svg"
    async with open_console() as driver:
        writer = ScreenshotWriter(driver.console, SnapshotFile(path=path))
        writer.changed(driver.console.store.snapshot)
        await until("it is written", path.exists)
    assert "Overview" in path.read_text()
