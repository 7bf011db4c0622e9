"""Pages: sections, search, following and copying; and the preview beside a list."""

from __future__ import annotations

from pathlib import Path

import pytest

import hms_svc.tui.queries
from hms_svc.domain.views import JobView
from hms_svc.operations.service import Operations
from hms_svc.tui.page_sections import moved_stop
from hms_svc.tui.screens.base import current_screen
from hms_svc.tui.screens.page_screens import PageScreen
from hms_svc.tui.text import line
from hms_svc.tui.widgets.page import Page
from tests.dashboard.conftest import ConsoleMaker
from tests.dashboard.test_real_terminal import RealConsole
from tests.support.console import POTHOLE, ConsoleDriver

FAILS = {"act": "fail", "message": "no crew is free"}


def page_of(driver: ConsoleDriver) -> Page:
    console_screen = current_screen(driver.console)
    assert isinstance(console_screen, PageScreen)
    return console_screen.page


async def opened_dead_job(driver: ConsoleDriver) -> JobView:
    """Let a job die after its only attempt, and open its page."""
    await driver.enqueue("drill.run", FAILS, max_attempts=1)
    await driver.press("2", "/")
    await driver.type("state:dead")
    await driver.press("enter")
    await driver.shows_jobs(1)
    await driver.press("i")
    await driver.opened("Inspect")
    await driver.sees("Attempt 1 of 1")
    [job] = await driver.jobs("state:dead")
    return job


async def test_each_fact_is_shown_once_and_sections_fold(open_console: ConsoleMaker) -> None:
    async with open_console(works=True, types=["drill.run"]) as driver:
        await opened_dead_job(driver)
        text = page_of(driver).text
        assert text.count("no crew is free") == 3, (
            "in why, at the end of the traceback, in the payload"
        )
        assert "\ndied " in text
        await driver.press("Z")
        assert '"message"' not in driver.text()
        assert "▸Payload" in driver.text()
        await driver.press("Z", "tab", "tab", "z")
        assert "▸Payload" in driver.text()
        assert "▾Attempt 1 of 1" in driver.text()


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({0: "jobs:type:a", 2: "Failures", 3: "jobs:cause:1", 7: "Workers"}, 3),
        ({0: "jobs:type:a", 5: "Failures", 6: "jobs:cause:1", 9: "Workers"}, 6),
        ({0: "jobs:type:a", 3: "Failures", 6: "Workers"}, 6),
        ({0: "jobs:type:a"}, 0),
        ({}, None),
    ],
    ids=["a line less", "lines more", "it is gone", "all below is gone", "nothing can be marked"],
)
def test_the_mark_of_a_page_stays_with_its_target(
    after: dict[int, str], expected: int | None
) -> None:
    before = {0: "jobs:type:a", 3: "Failures", 4: "jobs:cause:1", 8: "Workers"}
    assert moved_stop(before, 4, after) == expected


async def test_a_page_is_searched_and_escape_clears_the_search(open_console: ConsoleMaker) -> None:
    async with open_console(works=True, types=["drill.run"], size=(80, 24)) as driver:
        await opened_dead_job(driver)
        await driver.press("Z", "/")
        await driver.type("NO CREW")
        await driver.press("enter", "n", "n")
        await driver.sees("match 3 of 3")
        assert '"message": "no crew is free"' in driver.text(), "the section of a match is unfolded"
        await driver.press("n")
        await driver.sees("match 1 of 3")
        await driver.press("escape")
        assert (driver.screen, "match" in driver.text()) == ("Inspect", False)


async def test_the_chosen_part_of_a_page_is_copied(
    open_console: ConsoleMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_console(works=True, types=["drill.run"]) as driver:
        job = await opened_dead_job(driver)
        copied = []
        for key in ("p", "t", "c"):
            await driver.press("y")
            await driver.opened("CopyDialog")
            await driver.press(key)
            await driver.opened("Inspect")
            copied.append(driver.console.clipboard)
        assert '"message": "no crew is free"' in copied[0]
        assert copied[1].startswith("Traceback")
        assert copied[2] == f"hms-svc jobs show {job.id}"


async def test_the_log_of_a_running_job_is_followed_until_scrolling_up(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 24)) as driver:
        page = Page(id="tail")
        await driver.console.screen.mount(page)
        page.styles.height = 5
        lines = [line(f"line {number}") for number in range(40)]
        page.show(lines[:20])
        await driver.until("it is laid out", lambda: page.max_scroll_y == 15)
        page.action_tail()
        page.show(lines)
        await driver.settle()
        assert page.scroll_y == page.max_scroll_y
        page.action_move(-1)
        page.show([*lines, *lines])
        await driver.settle()
        assert page.scroll_y < page.max_scroll_y


async def test_unwrapped_lines_scroll_sideways(open_console: ConsoleMaker) -> None:
    async with open_console(size=(80, 24)) as driver:
        [job_id] = await driver.enqueue("drill.run", {**FAILS, "message": "x" * 90 + "end"})
        await driver.press("2")
        await driver.shows_jobs(1)
        await driver.press("i")
        await driver.sees("end")
        await driver.press("W")
        assert 'end"' not in driver.text()
        await driver.press("right", "right", "right", "right")
        await driver.sees('end"')
        assert job_id not in driver.text()


async def test_the_preview_reads_once_for_each_stop_and_not_for_skipped_rows(
    open_console: ConsoleMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real_read = hms_svc.tui.queries.PreviewQuery.read

    async def counted(self: hms_svc.tui.queries.PreviewQuery, operations: Operations) -> object:
        read.append(self.job_id)
        return await real_read(self, operations)

    monkeypatch.setattr(hms_svc.tui.queries.PreviewQuery, "read", counted)
    async with open_console() as driver:
        await driver.enqueue("pothole.report", *[POTHOLE] * 9)
        await driver.press("2")
        await driver.shows_jobs(9)
        await driver.press_at_once(*["down"] * 8)
        last = driver.page.grid.rows[-1].key
        await driver.until("the last was read", lambda: read and read[-1] == last)
        await driver.sees("no live worker serves")
        assert len(read) <= 2
        assert read.count(last) == 1


async def test_a_narrow_screen_has_a_preview_below_a_short_list(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 24)) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await driver.sees("has waited")
        await driver.reads("Preview")
        assert "tab scroll  v hide" in driver.text()
        await driver.enqueue("pothole.report", *[{**POTHOLE, "lat": n} for n in range(19)])
        await driver.until("the list needs the screen", lambda: "Preview" not in driver.text())


async def test_a_short_list_leaves_its_space_to_the_preview(open_console: ConsoleMaker) -> None:
    async with open_console(size=(120, 40)) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await driver.sees("has waited")
        head = next(number for number, text in enumerate(driver.lines()) if "Preview" in text)
        assert head < 8


async def test_the_preview_is_shown_from_120_columns_and_hidden_by_a_key(
    open_console: ConsoleMaker, tmp_path: Path
) -> None:
    memory = tmp_path / "console.json"
    async with open_console(size=(119, 12), memory=memory) as driver:
        await driver.enqueue("pothole.report", *[{**POTHOLE, "lat": n} for n in range(9)])
        await driver.press("2")
        await driver.shows_jobs(9)
        assert "Preview" not in driver.text()
        await driver.pilot.resize_terminal(200, 40)
        await driver.sees("has waited")
        assert "▾Payload" in driver.text()
        await driver.press("v")
        await driver.until("it is hidden", lambda: "Preview" not in driver.text())
    async with open_console(memory=memory) as driver:
        await driver.press("2")
        await driver.shows_jobs(9)
        assert "Preview" not in driver.text()


async def test_end_on_a_long_page_writes_one_frame(
    open_console: ConsoleMaker, tmp_path: Path
) -> None:
    numbers = list(range(2500))
    async with open_console() as driver:
        await driver.enqueue("drill.run", {"many": numbers}, meta={"more": numbers})
    console = RealConsole(tmp_path, "--attach")
    try:
        console.press("2", "drill.run")
        console.press("v", "preview hidden")  # it has a payload, too
        console.press("i", "Payload")
        start = len(console.seen)
        console.press("\x1b[F", "enqueued")
        console.press("y", "copy")
        assert len(console.seen) - start < 20_000
    finally:
        console.close()
