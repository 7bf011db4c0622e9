"""Keys that arrive together, as over SSH: everything that is typed after `/` or `:` is text."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

import pytest

from hms_svc.domain.lifecycle import State
from hms_svc.tui.command_keys import KEY_SIGNS
from hms_svc.tui.commands import TABLE
from hms_svc.tui.widgets.prompt import Prompt
from tests.dashboard.conftest import ConsoleMaker
from tests.dashboard.test_real_terminal import RealConsole, consoles, plain_text
from tests.support.console import POTHOLE, ConsoleDriver

__all__ = ["consoles"]
LEAVE: Final = "\x07"
CODES: Final = {"space": " ", "ctrl+p": "\x10"}
KEYS: Final = sorted(
    {CODES.get(key, KEY_SIGNS.get(key, key)) for each in TABLE for key in each.keys}
)
MORE: Final = ("\r", "\t", "\x1b[A", "\x1b[B", "\x1b[5~", "j", "g", "0")
PLACES: Final = [{**POTHOLE, "lat": 38.0 + number / 100} for number in range(30)]
GAPS: Final = (0.0, 0.001, 0.01, 0.05)


def press_every_pair(driver: RealConsole, gap: float | None) -> None:
    """Open the prompt with each of its two keys followed at once by every other key; then leave it."""
    driver.until("it is shown", lambda: "pothole.report" in plain_text(driver.seen))
    driver.press("2", "· queued")
    for number, (opening, key) in enumerate((o, k) for o in "/:" for k in (*KEYS, *MORE)):
        if gap is None:
            os.write(driver.master, (opening + key).encode())
        else:
            os.write(driver.master, opening.encode())
            time.sleep(gap)
            os.write(driver.master, key.encode())
        driver.press(f"{LEAVE}:qq{number}\r", f"qq{number}")
        os.write(driver.master, LEAVE.encode())


async def hold_all_pairs(
    open_console: ConsoleMaker, consoles: list[RealConsole], folder: Path, gap: float | None
) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", *PLACES)
    real = RealConsole(folder, "--attach")
    consoles.append(real)
    await asyncio.to_thread(press_every_pair, real, gap)
    assert await asyncio.to_thread(real.end) == 0
    async with open_console() as driver:
        jobs = await driver.jobs()
        assert {job.state for job in jobs} == {State.QUEUED}
        assert (len(jobs), await driver.audit()) == (30, [])


async def test_no_key_after_the_one_that_opens_a_prompt_is_a_command(
    open_console: ConsoleMaker, tmp_path: Path, consoles: list[RealConsole]
) -> None:
    await hold_all_pairs(open_console, consoles, tmp_path, None)


@pytest.mark.chaos
@pytest.mark.parametrize("gap", GAPS)
async def test_a_key_that_arrives_a_little_later_is_no_command_either(
    open_console: ConsoleMaker, tmp_path: Path, consoles: list[RealConsole], gap: float
) -> None:
    await hold_all_pairs(open_console, consoles, tmp_path, gap)


async def show_jobs(driver: ConsoleDriver) -> None:
    await driver.enqueue("pothole.report", *PLACES[:3])
    await driver.press("2")
    await driver.shows_jobs(3)


async def test_the_prompt_receives_every_letter_of_one_write(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await show_jobs(driver)
        await driver.press_at_once("/", *"xDpuE retry")
        prompt = driver.console.screen.query_one(Prompt)
        await driver.until("it is typed", lambda: prompt.value == "xDpuE retry")
        assert driver.screen == "Jobs"


async def test_a_filter_in_one_write_is_a_filter(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await show_jobs(driver)
        await driver.press_at_once("/", *"state:dead", "enter")
        await driver.sees("state:dead")
        await driver.shows_jobs(0)
        assert driver.screen == "Jobs"


async def test_a_key_before_the_prompt_is_handled_before_it(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await show_jobs(driver)
        await driver.press_at_once("1", "4", ":", *"theme light", "enter")
        await driver.until("it is light", lambda: driver.console.theme == "light")
        assert driver.screen == "Held"


async def test_opening_a_job_and_a_prompt_in_one_write(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await show_jobs(driver)
        await driver.press_at_once("enter", "/", *"xD")
        await driver.until(
            "it is typed over the job",
            lambda: (
                driver.screen == "Inspect"
                and [each.value for each in driver.console.screen.query(Prompt)] == ["xD"]
            ),
        )


async def test_enter_typed_before_a_plan_is_shown_does_not_confirm_it(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await show_jobs(driver)
        await driver.press_at_once("asterisk", "x", "enter", "enter")
        await driver.opened("ConfirmDialog")
        assert {job.state for job in await driver.jobs()} == {State.QUEUED}
        await driver.press("enter")
        await driver.sees("3 jobs cancelled")


async def test_keys_typed_while_a_form_opens_go_to_the_form(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await show_jobs(driver)
        await driver.press_at_once("e", "x", "D")
        await driver.opened("ChooseDialog")
        await driver.press("escape")
        await driver.settle()
        assert {job.state for job in await driver.jobs()} == {State.QUEUED}
