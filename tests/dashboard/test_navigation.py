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


async def submit(one: ConsoleDriver, key: str, text: str) -> None:
    await one.press(key)
    await one.put(text)
    await one.press("enter")
    await one.settle()


def prompt(one: ConsoleDriver) -> Prompt:
    return one.console.screen.query_one(Prompt)


async def test_an_invalid_filter_is_reported_and_the_prompt_stays_open(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.press("2")
        await submit(one, "/", "state:deaf")
        await one.sees("deaf")
        assert prompt(one).has_class("-open")
        assert prompt(one).value == "state:deaf"
        await one.put("state:dead")
        await one.press("enter")
        await one.opened("Jobs")
        assert one.page.where == "state:dead"
        assert not prompt(one).has_class("-open")


async def test_tab_completes_a_filter_and_up_recalls_the_previous_one(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.until("the queue is known", lambda: one.console.store.snapshot.queues)
        await one.press("2", "/")
        await one.type("type:poth")
        await one.until("a suggestion", lambda: prompt(one)._suggestion)
        await one.press("tab")
        assert prompt(one).value == "type:pothole.report"
        await one.press("enter")
        await one.opened("Jobs")
        await one.shows_jobs(1)
        await one.press("/", "up")
        assert prompt(one).value == "type:pothole.report"
        await one.press("escape")
        assert not prompt(one).has_class("-open")


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
    async with open_console() as one:
        await submit(one, ":", typed)
        await one.sees(message)
        assert all(row.action == "queue.purge" for row in await one.audit())


async def test_a_typed_command_takes_a_filter(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", POTHOLE, POTHOLE)
        await submit(one, ":", "cancel state:queued")
        await one.opened("ConfirmDialog")
        await one.press("enter")
        await one.sees("2 jobs cancelled")
        await submit(one, ":", "retry state:cancelled")
        await one.opened("ConfirmDialog")
        await one.press("enter")
        await one.sees("2 jobs retried")
        assert {job.state for job in await one.jobs()} == {State.QUEUED}


async def test_history_goes_back_and_forward_with_its_filters(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        await one.press("2")
        await submit(one, "/", "state:dead")
        await one.press("3")
        places = []
        for key in ("[", "[", "[", "]", "]", "]"):
            await one.press(key)
            await one.settle()
            places.append((one.screen, one.console.navigation.where))
        assert places == [
            ("Jobs", "state:dead"), ("Jobs", ""), ("Overview", ""),
            ("Jobs", ""), ("Jobs", "state:dead"), ("Failures", ""),
        ]  # fmt: skip


async def test_escape_clears_marks_then_the_filter_then_the_screen(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.press("2")
        await submit(one, "/", "state:queued")
        await one.shows_jobs(1)
        await one.press("space", "escape")
        assert not one.page._marked
        assert one.page.where == "state:queued"
        await one.press("escape")
        assert (one.screen, one.page.where) == ("Jobs", "")
        await one.shows_jobs(1)
        await one.press("i")
        await one.opened("Inspect")
        await one.press("escape")
        await one.opened("Jobs")


async def test_moving_beyond_the_last_row_turns_the_page_and_back(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 16)) as one:
        ids = await one.enqueue("pothole.report", *[POTHOLE] * 15)
        await one.press("2")
        grid = one.page.grid
        await one.until("a page is shown", lambda: len(grid.rows) == 12)
        first = {row.key for row in grid.rows}
        await one.press("end", "down")
        await one.until("the next page is shown", lambda: len(grid.rows) == 3)
        assert {row.key for row in grid.rows} | first == set(ids)
        assert grid.cursor == grid.rows[0].key
        await one.press("end", "down")
        await one.press("home", "up")
        await one.until("the first page is back", lambda: len(grid.rows) == 12)
        assert grid.cursor == grid.rows[-1].key


async def test_a_frozen_screen_shows_nothing_new_until_it_resumes(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.press("S")
        await one.sees("paused, ")
        before = one.console.store.snapshot
        await one.enqueue("pothole.report", POTHOLE)
        reads = (await one.operations()).reads
        await reads.queues()
        for _ in range(20):
            one.console.store.refresh_now(force=True)
            await one.settle()
        assert one.console.store.snapshot.at == before.at
        await one.press("S")
        await one.sees("pothole.report")


async def test_themes_cycle_and_can_be_chosen_by_name(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        seen = [one.console.theme]
        for _ in THEMES:
            await one.press("T")
            await one.until("it changed", lambda: one.console.theme != seen[-1])
            seen.append(one.console.theme)
        assert set(seen) == set(THEMES)
        assert seen[0] == seen[-1]
        await submit(one, ":", "theme contrast")
        await one.sees("theme contrast")
        assert one.console.theme == "contrast"


async def test_copying_copies_the_whole_id(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        [job_id] = await one.enqueue("pothole.report", POTHOLE)
        await one.press("2")
        await one.shows_jobs(1)
        await one.press("y")
        await one.sees("copied")
        assert one.console.clipboard == job_id


async def test_a_console_over_old_jobs_does_not_claim_that_none_has_ended(
    open_console: ConsoleMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hms_svc.tui.store, "NEWEST_EVENTS", 0)  # newer ones have pushed them out
    async with open_console() as one:
        await one.sees("No job has ended yet")
        ids = await one.enqueue("pothole.report", *[POTHOLE] * 3)
        operations = await one.operations()
        seen = {job_id: SeenClaim(0) for job_id in ids}
        await operations.actions._control.act(
            ActRequest(act=Act.CANCEL, job_ids=tuple(ids), by="ann", batch="b", seen=seen)
        )
        await one.sees("None among the newest 100 events. 3 ended before")


async def test_before_the_first_answer_nothing_is_claimed(tmp_path: Path) -> None:
    settings = {"data_dir": str(tmp_path), "broker_url": "redis://127.0.0.1:1/0"}
    async with drive_console(settings, waits=False) as one:
        await one.sees("broker down")
        assert "loading …" in one.text()
        for text in ("No dead letters", "Nothing yet", "No job has ended", "all well"):
            assert text not in one.text()


async def test_times_are_local_and_a_key_switches_to_utc(tmp_path: Path) -> None:
    settings = {"data_dir": str(tmp_path), "time_zone": "Asia/Kolkata"}
    async with drive_console(settings) as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.press("2")
        await one.shows_jobs(1)
        assert " IST  1-9 screens" in one.lines()[-1]
        await one.press("i")
        await one.sees(" IST, ")
        await one.press("U")
        await one.sees(" UTC, ")
        assert " IST" not in one.text()
