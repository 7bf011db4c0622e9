"""Pages: sections, search, following and copying; and the preview beside a list."""

from __future__ import annotations

from pathlib import Path

import pytest

import hms_svc.tui.queries
from hms_svc.domain.views import JobView
from hms_svc.operations.service import Operations
from hms_svc.tui.page_sections import moved_stop
from hms_svc.tui.screens.base import current_screen
from hms_svc.tui.screens.inspect import PageScreen
from hms_svc.tui.text import line
from hms_svc.tui.widgets.page import Page
from tests.dashboard.conftest import ConsoleMaker
from tests.dashboard.test_real_terminal import RealConsole
from tests.support.console import POTHOLE, ConsoleDriver

FAILS = {"act": "fail", "message": "no crew is free"}


def page_of(one: ConsoleDriver) -> Page:
    console_screen = current_screen(one.console)
    assert isinstance(console_screen, PageScreen)
    return console_screen.page


async def opened_dead_job(one: ConsoleDriver) -> JobView:
    """Let a job die after its only attempt, and open its page."""
    await one.enqueue("drill.run", FAILS, max_attempts=1)
    await one.press("2", "/")
    await one.type("state:dead")
    await one.press("enter")
    await one.shows_jobs(1)
    await one.press("i")
    await one.opened("Inspect")
    await one.sees("Attempt 1 of 1")
    [job] = await one.jobs("state:dead")
    return job


async def test_each_fact_is_shown_once_and_sections_fold(open_console: ConsoleMaker) -> None:
    async with open_console(works=True, types=["drill.run"]) as one:
        await opened_dead_job(one)
        text = page_of(one).text
        assert text.count("no crew is free") == 3, (
            "in why, at the end of the traceback, in the payload"
        )
        assert "\ndied " in text
        await one.press("Z")
        assert '"message"' not in one.text()
        assert "▸Payload" in one.text()
        await one.press("Z", "tab", "tab", "z")
        assert "▸Payload" in one.text()
        assert "▾Attempt 1 of 1" in one.text()


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
    async with open_console(works=True, types=["drill.run"], size=(80, 24)) as one:
        await opened_dead_job(one)
        await one.press("Z", "/")
        await one.type("NO CREW")
        await one.press("enter", "n", "n")
        await one.sees("match 3 of 3")
        assert '"message": "no crew is free"' in one.text(), "the section of a match is unfolded"
        await one.press("n")
        await one.sees("match 1 of 3")
        await one.press("escape")
        assert (one.screen, "match" in one.text()) == ("Inspect", False)


async def test_the_chosen_part_of_a_page_is_copied(
    open_console: ConsoleMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_console(works=True, types=["drill.run"]) as one:
        job = await opened_dead_job(one)
        copied = []
        for key in ("p", "t", "c"):
            await one.press("y")
            await one.opened("CopyDialog")
            await one.press(key)
            await one.opened("Inspect")
            copied.append(one.console.clipboard)
        assert '"message": "no crew is free"' in copied[0]
        assert copied[1].startswith("Traceback")
        assert copied[2] == f"hms-svc jobs show {job.id}"


async def test_the_log_of_a_running_job_is_followed_until_scrolling_up(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 24)) as one:
        page = Page(id="tail")
        await one.console.screen.mount(page)
        page.styles.height = 5
        lines = [line(f"line {number}") for number in range(40)]
        page.show(lines[:20])
        await one.until("it is laid out", lambda: page.max_scroll_y == 15)
        page.action_tail()
        page.show(lines)
        await one.settle()
        assert page.scroll_y == page.max_scroll_y
        page.action_move(-1)
        page.show([*lines, *lines])
        await one.settle()
        assert page.scroll_y < page.max_scroll_y


async def test_unwrapped_lines_scroll_sideways(open_console: ConsoleMaker) -> None:
    async with open_console(size=(80, 24)) as one:
        [job_id] = await one.enqueue("drill.run", {**FAILS, "message": "x" * 90 + "end"})
        await one.press("2")
        await one.shows_jobs(1)
        await one.press("i")
        await one.sees("end")
        await one.press("W")
        assert 'end"' not in one.text()
        await one.press("right", "right", "right", "right")
        await one.sees('end"')
        assert job_id not in one.text()


async def test_the_preview_reads_once_for_each_stop_and_not_for_skipped_rows(
    open_console: ConsoleMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    take = hms_svc.tui.queries.PreviewQuery.take

    async def counted(self: hms_svc.tui.queries.PreviewQuery, operations: Operations) -> object:
        read.append(self.job_id)
        return await take(self, operations)

    monkeypatch.setattr(hms_svc.tui.queries.PreviewQuery, "take", counted)
    async with open_console() as one:
        await one.enqueue("pothole.report", *[POTHOLE] * 9)
        await one.press("2")
        await one.shows_jobs(9)
        await one.press_at_once(*["down"] * 8)
        last = one.page.grid.rows[-1].key
        await one.until("the last was read", lambda: read and read[-1] == last)
        await one.sees("no live worker serves")
        assert len(read) <= 2
        assert read.count(last) == 1


async def test_a_narrow_screen_has_a_preview_below_a_short_list(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 24)) as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.press("2")
        await one.sees("has waited")
        await one.reads("Preview")
        assert "tab scroll  v hide" in one.text()
        await one.enqueue("pothole.report", *[{**POTHOLE, "lat": n} for n in range(19)])
        await one.until("the list needs the screen", lambda: "Preview" not in one.text())


async def test_a_short_list_leaves_its_space_to_the_preview(open_console: ConsoleMaker) -> None:
    async with open_console(size=(120, 40)) as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.press("2")
        await one.sees("has waited")
        head = next(number for number, text in enumerate(one.lines()) if "Preview" in text)
        assert head < 8


async def test_the_preview_is_shown_from_120_columns_and_hidden_by_a_key(
    open_console: ConsoleMaker, tmp_path: Path
) -> None:
    memory = tmp_path / "console.json"
    async with open_console(size=(119, 12), memory=memory) as one:
        await one.enqueue("pothole.report", *[{**POTHOLE, "lat": n} for n in range(9)])
        await one.press("2")
        await one.shows_jobs(9)
        assert "Preview" not in one.text()
        await one.pilot.resize_terminal(200, 40)
        await one.sees("has waited")
        assert "▾Payload" in one.text()
        await one.press("v")
        await one.until("it is hidden", lambda: "Preview" not in one.text())
    async with open_console(memory=memory) as one:
        await one.press("2")
        await one.shows_jobs(9)
        assert "Preview" not in one.text()


async def test_end_on_a_long_page_writes_one_frame(
    open_console: ConsoleMaker, tmp_path: Path
) -> None:
    numbers = list(range(2500))
    async with open_console() as one:
        await one.enqueue("drill.run", {"many": numbers}, meta={"more": numbers})
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
