"""Navigation: filters, typed commands, history and pages; themes, copying and time zones."""

from __future__ import annotations

from pathlib import Path

import pytest

import hms_svc.tui.store
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act, ActRequest, SeenClaim
from hms_svc.tui.themes import THEMES
from hms_svc.tui.widgets.prompt import Prompt
from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver, drive_console


async def submit(driver: ConsoleDriver, key: str, text: str) -> None:
    await driver.press(key)
    await driver.put(text)
    await driver.press("enter")
    await driver.settle()


def prompt(driver: ConsoleDriver) -> Prompt:
    return driver.console.screen.query_one(Prompt)


async def test_an_invalid_filter_is_reported_and_the_prompt_stays_open(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.press("2")
        await submit(driver, "/", "state:deaf")
        await driver.sees("deaf")
        assert prompt(driver).has_class("-open")
        assert prompt(driver).value == "state:deaf"
        await driver.put("state:dead")
        await driver.press("enter")
        await driver.opened("Jobs")
        assert driver.page.where == "state:dead"
        assert not prompt(driver).has_class("-open")


async def test_tab_completes_a_filter_and_up_recalls_the_previous_one(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.until("the queue is known", lambda: driver.console.store.snapshot.queues)
        await driver.press("2", "/")
        await driver.type("type:poth")
        await driver.until("a suggestion", lambda: prompt(driver)._suggestion)
        await driver.press("tab")
        assert prompt(driver).value == "type:pothole.report"
        await driver.press("enter")
        await driver.opened("Jobs")
        await driver.shows_jobs(1)
        await driver.press("/", "up")
        assert prompt(driver).value == "type:pothole.report"
        await driver.press("escape")
        assert not prompt(driver).has_class("-open")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("retrry", "no command 'retrry'; did you mean retry?"),
        ("retry state:deaf", "deaf"),
        ("retry 'abc", "quote that is not closed"),
        ("retry no-such-job", "no-such-job"),
        ("cancel", "cancel needs a job"),
        ("purge no.such", "no.such"),
        ("pause Bad Type", "Bad"),
        ("close-case case-1", "case-1"),
    ],
)
async def test_an_invalid_command_is_reported(
    open_console: ConsoleMaker, typed: str, message: str
) -> None:
    async with open_console() as driver:
        await submit(driver, ":", typed)
        await driver.sees(message)
        assert all(row.action == "queue.purge" for row in await driver.audit())


async def test_a_typed_command_takes_a_filter(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", POTHOLE, POTHOLE)
        await submit(driver, ":", "cancel state:queued")
        await driver.opened("ConfirmDialog")
        await driver.press("enter")
        await driver.sees("2 jobs cancelled")
        await submit(driver, ":", "retry state:cancelled")
        await driver.opened("ConfirmDialog")
        await driver.press("enter")
        await driver.sees("2 jobs retried")
        assert {job.state for job in await driver.jobs()} == {State.QUEUED}


async def test_history_goes_back_and_forward_with_its_filters(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.press("2")
        await submit(driver, "/", "state:dead")
        await driver.press("3")
        places = []
        for key in ("[", "[", "[", "]", "]", "]"):
            await driver.press(key)
            await driver.settle()
            places.append((driver.screen, driver.console.navigation.where))
        assert places == [
            ("Jobs", "state:dead"),
            ("Jobs", ""),
            ("Overview", ""),
            ("Jobs", ""),
            ("Jobs", "state:dead"),
            ("Failures", ""),
        ]


async def test_escape_clears_marks_then_the_filter_then_the_screen(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await submit(driver, "/", "state:queued")
        await driver.shows_jobs(1)
        await driver.press("space", "escape")
        assert not driver.page._marked
        assert driver.page.where == "state:queued"
        await driver.press("escape")
        assert (driver.screen, driver.page.where) == ("Jobs", "")
        await driver.shows_jobs(1)
        await driver.press("i")
        await driver.opened("Inspect")
        await driver.press("escape")
        await driver.opened("Jobs")


async def test_moving_beyond_the_last_row_turns_the_page_and_back(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 16)) as driver:
        ids = await driver.enqueue("pothole.report", *[POTHOLE] * 15)
        await driver.press("2")
        grid = driver.page.grid
        await driver.until("a page is shown", lambda: len(grid.rows) == 12)
        first = {row.key for row in grid.rows}
        await driver.press("end", "down")
        await driver.until("the next page is shown", lambda: len(grid.rows) == 3)
        assert {row.key for row in grid.rows} | first == set(ids)
        assert grid.cursor == grid.rows[0].key
        await driver.press("end", "down")
        await driver.press("home", "up")
        await driver.until("the first page is back", lambda: len(grid.rows) == 12)
        assert grid.cursor == grid.rows[-1].key


async def test_a_frozen_screen_shows_nothing_new_until_it_resumes(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.press("S")
        await driver.sees("paused, ")
        before = driver.console.store.snapshot
        await driver.enqueue("pothole.report", POTHOLE)
        reads = (await driver.operations()).reads
        await reads.queues()
        for _ in range(20):
            driver.console.store.refresh_now(force=True)
            await driver.settle()
        assert driver.console.store.snapshot.at == before.at
        await driver.press("S")
        await driver.sees("pothole.report")


async def test_themes_cycle_and_can_be_chosen_by_name(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        seen = [driver.console.theme]
        for _ in THEMES:
            await driver.press("T")
            await driver.until("it changed", lambda: driver.console.theme != seen[-1])
            seen.append(driver.console.theme)
        assert set(seen) == set(THEMES)
        assert seen[0] == seen[-1]
        await submit(driver, ":", "theme contrast")
        await driver.sees("theme contrast")
        assert driver.console.theme == "contrast"


async def test_copying_copies_the_whole_id(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        [job_id] = await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await driver.shows_jobs(1)
        await driver.press("y")
        await driver.sees("copied")
        assert driver.console.clipboard == job_id


async def test_a_console_over_old_jobs_does_not_claim_that_none_has_ended(
    open_console: ConsoleMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "NEWEST_EVENTS", 0)  # newer ones have pushed them out
    async with open_console() as driver:
        await driver.sees("No job has ended yet")
        ids = await driver.enqueue("pothole.report", *[POTHOLE] * 3)
        operations = await driver.operations()
        seen = {job_id: SeenClaim(0) for job_id in ids}
        await operations.actions._control.act(
            ActRequest(act=Act.CANCEL, job_ids=tuple(ids), by="ann", batch="b", seen=seen)
        )
        await driver.sees("None among the newest 100 events. 3 ended before")


async def test_before_the_first_answer_nothing_is_claimed(tmp_path: Path) -> None:
    settings = {"data_dir": str(tmp_path), "broker_url": "redis://127.0.0.1:1/0"}
    async with drive_console(settings, waits=False) as driver:
        await driver.sees("broker down")
        assert "loading …" in driver.text()
        for text in ("No dead letters", "Nothing yet", "No job has ended", "all well"):
            assert text not in driver.text()


async def test_times_are_local_and_a_key_switches_to_utc(tmp_path: Path) -> None:
    settings = {"data_dir": str(tmp_path), "time_zone": "Asia/Kolkata"}
    async with drive_console(settings) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await driver.shows_jobs(1)
        assert " IST  1-9 screens" in driver.lines()[-1]
        await driver.press("i")
        await driver.sees(" IST, ")
        await driver.press("U")
        await driver.sees(" UTC, ")
        assert " IST" not in driver.text()
