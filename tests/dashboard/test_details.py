"""Explanations of queues and groups, pages of rows and events, the palette and the help."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from hms_svc.domain.event import AUDIT_SEALED
from hms_svc.domain.filter_terms import EXAMPLES
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition, Failure
from hms_svc.ports.broker import ClaimRequest, ServedType, Settlement
from hms_svc.ports.control import Act
from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver, put_cursor


async def test_w_shows_why_a_queue_does_not_move(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.until("the queue is shown", lambda: driver.grid("queues").cursor)
        await driver.press("w")
        await driver.opened("Message")
        await driver.reads("and no live worker serves it: no worker is alive")
        await driver.reads("$ hms-svc queues why pothole.report")
        await driver.press("escape", "p")
        await driver.sees("pothole.report paused")
        await driver.press("w")
        await driver.reads("was paused by ann; 1 ready job waits")


async def test_w_shows_what_fails_in_a_group(open_console: ConsoleMaker) -> None:
    async with open_console(works=True, types=["drill.run"]) as driver:
        await driver.enqueue("drill.run", {"act": "fail", "message": "no crew"}, max_attempts=1)
        await driver.press("3")
        await driver.opened("Failures")
        await driver.until("the group is shown", lambda: driver.grid("table").cursor)
        await driver.press("w")
        await driver.opened("Message")
        await driver.reads(
            "1 job of drill.run is dead (error): DrillFailed: no crew; the first since"
        )


async def fail(driver: ConsoleDriver, *messages: str) -> None:
    """Let one job fail with each message, due again in an hour."""
    broker = (await driver.operations()).actions._broker
    await driver.enqueue("pothole.report", *(POTHOLE for _ in messages))
    served = (ServedType("pothole.report", 20),)
    claimed = await broker.claim(ClaimRequest("crew-1", served, len(messages), 30_000))
    settlements = [
        Settlement(
            token=job.token,
            type=job.job.type,
            disposition=Disposition(
                state=State.RETRYING,
                trigger=Trigger.FAILED,
                reason="error",
                by="handler",
                failure=Failure("OSError", message),
                delay_ms=3_600_000,
            ),
            worker="crew-1",
            attempt=job.attempt,
            started_at=job.claimed_at,
            ended_at=job.claimed_at,
        )
        for job, message in zip(claimed, messages, strict=True)
    ]
    assert not await broker.settle(settlements)


async def test_failing_jobs_are_a_row_of_the_first_screen_and_are_cancelled_together(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await fail(driver, "crew-1 answered 503", "crew-2 answered 503")
        await driver.sees("↻ pothole.report      2 OSError: # answered #")
        await driver.press("tab", "tab", "tab", "down", "w")
        await driver.opened("Message")
        await driver.reads("2 jobs of pothole.report are failing and will be retried (error)")
        await driver.reads(", but no live worker serves pothole.report")
        await driver.press("escape", "p")
        await driver.sees("pothole.report paused")
        await driver.press("x")
        await driver.opened("ConfirmDialog")
        await driver.press("enter")
        await driver.sees("2 jobs cancelled")
        await driver.sees("↻ pothole.report      ·")


async def test_a_queue_opens_the_page_of_its_type_which_opens_its_jobs(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await fail(driver, "crew-1 answered 503")
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.until("the queue is shown", lambda: driver.grid("queues").cursor)
        await driver.press("p")
        await driver.sees("pothole.report paused")
        await driver.press("i")
        await driver.opened("InspectType")
        for text in (
            "jobs 1 ready, 1 retrying",
            "paused by ann at 20",
            "error: OSError: # answered # (next in",
            "no live worker serves it",
            "Newest results none yet",
        ):
            await driver.reads(text)
        await driver.press("tab", "tab", "p")
        await driver.sees("pothole.report resumed")
        await driver.until("the lines move up", lambda: "paused by" not in driver.text())
        await driver.press("enter")
        await driver.shows_jobs(1)
        assert driver.page.where.startswith("cause:")


async def test_an_audit_row_opens_and_links_to_its_job(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        [job_id] = await driver.enqueue("pothole.report", POTHOLE)
        actions = (await driver.operations()).actions
        await actions.carry_out(await actions.plan(Act.CANCEL, [job_id]), note="wrong city")
        await driver.press("9")
        await driver.opened("Audit")
        await driver.until("rows are shown", lambda: len(driver.grid("table").rows) == 2)
        await driver.press("i")
        await driver.opened("InspectAudit")
        for text in (
            "action job.cancel",
            f"subject {job_id}",
            "actor ann",
            "link not sealed yet",
            '"done": true',
        ):
            await driver.reads(text)
        await driver.press("enter")
        await driver.opened("Inspect")
        await driver.sees("why ")


async def test_an_event_that_is_not_about_a_job_opens_its_own_page(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("7")
        await driver.opened("Events")
        grid = driver.grid("table")

        def sealed() -> list[str]:
            return [row.key for row in grid.rows if row.cells[1].text == AUDIT_SEALED]

        await driver.until("the audit is sealed", sealed)
        put_cursor(grid, sealed()[0])
        await driver.press("i")
        await driver.opened("InspectEvent")
        await driver.reads(f"event {AUDIT_SEALED}")
        await driver.press("escape")
        await driver.opened("Events")
        done = [row.key for row in grid.rows if row.cells[1].text.startswith("job.")]
        put_cursor(grid, done[0])
        await driver.press("i")
        await driver.opened("Inspect")
        await driver.sees("attempts   ")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("dead", "Failures"),
        ("dlq", "Failures"),
        ("purge recent", "Undo"),
        ("original other", "Edit and retry"),
    ],
)
async def test_the_palette_finds_by_words_of_the_help_and_other_names(
    open_console: ConsoleMaker, typed: str, found: str
) -> None:
    async with open_console() as driver:
        await driver.press("ctrl+p")
        await driver.until("the palette is open", lambda: driver.console.screen.query("Input"))
        assert "🔎" not in driver.text()
        driver.console.screen.query_one(Input).value = typed
        await driver.sees(found)
        assert "No matches" not in driver.text()


async def test_the_help_lists_the_fields_of_the_filter_and_can_be_read_at_80(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 24)) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await driver.shows_jobs(1)
        await driver.press("?")
        await driver.opened("Message")
        page = driver.console.screen.query_one("#page")
        shown = [("".join(part.text for part in each)) for each in page._shown]
        assert max(map(len, shown)) <= page.size.width
        for example, _ in EXAMPLES.values():
            assert any(each.startswith(f"  {example} ") for each in shown), example
        outdented = [
            each for each in shown if each[:1].strip() or (each[:2] == "  " and each[2:3] == "")
        ]
        assert outdented == []
        [job] = await driver.jobs()
        assert f"  $ hms-svc jobs show {job.id}" in shown


async def test_a_filter_is_saved_and_opened_by_its_name(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.press(":")
        await driver.type("save mine")
        await driver.press("enter")
        await driver.sees("this screen has no filter to save")
        await driver.press(":")
        await driver.type("jobs state:dead")
        await driver.press("enter")
        await driver.opened("Jobs")
        await driver.press(":")
        await driver.type("save night")
        await driver.press("enter")
        await driver.sees("saved: / and @night")
    async with open_console() as driver:
        await driver.press(":")
        await driver.type("filters")
        await driver.press("enter")
        await driver.opened("Message")
        await driver.reads("@night state:dead")
        await driver.press("escape", "/")
        await driver.put("@nihgt")
        await driver.press("enter")
        await driver.sees("no saved filter '@nihgt'; there are @night")
        await driver.put("@ni")
        await driver.press("tab", "enter")
        await driver.opened("Jobs")
        assert driver.page.where == "state:dead"


async def test_a_key_shows_all_problems_as_status_describes_them(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 24)) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.enqueue("snow.report", {"depth": 1})
        operations = await driver.operations()
        await operations.actions.pause("snow.report", reason="thaw")
        await driver.sees("+1 H")
        await driver.press("H")
        await driver.opened("Message")
        await driver.reads("down: no workers, 1 job waiting")
        await driver.reads("no worker is alive: start one with hms-svc serve")
        await driver.reads("note: snow.report paused, 1 job waiting")
        await driver.reads("snow.report was paused by ann (thaw)")
        await driver.press("escape", ":")
        await driver.type("health")
        await driver.press("enter")
        await driver.opened("Message")
        await driver.reads("$ hms-svc status")


async def test_jobs_with_the_same_cause_show_what_differs_in_their_payloads(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 24)) as driver:
        await fail(driver, "crew-1 answered 503", "crew-2 answered 503")
        await driver.sees("OSError: # answered #")
        await driver.press("2", "/")
        await driver.type("state:retrying")
        await driver.press("enter")
        await driver.shows_jobs(2)
        await driver.reads("state:retrying OSError: # answered #")
        assert "due in 59m; user_id: usr-1" in driver.text()


async def test_the_page_of_a_type_and_the_list_show_why_jobs_were_snoozed(
    open_console: ConsoleMaker,
) -> None:
    why = "crew.example has not answered 5 times in a row; requests to it are paused"
    async with open_console() as driver:
        broker = (await driver.operations()).actions._broker
        await driver.enqueue("pothole.report", POTHOLE)
        served = (ServedType("pothole.report", 20),)
        [job] = await broker.claim(ClaimRequest("crew-1", served, 1, 30_000))
        snooze = Disposition(
            state=State.SCHEDULED,
            trigger=Trigger.SNOOZED,
            delay_ms=3_600_000,
            give_back=True,
            detail=why,
        )
        settlement = Settlement(
            token=job.token,
            type=job.job.type,
            disposition=snooze,
            worker="crew-1",
            attempt=job.attempt,
            started_at=job.claimed_at,
            ended_at=job.claimed_at,
        )
        assert not await broker.settle([settlement])
        await driver.until("the queue is shown", lambda: driver.grid("queues").cursor)
        await driver.press("i")
        await driver.reads(f"snoozed 1 job: {why}")
        await driver.press("2")
        await driver.reads("due in 59m; crew.example")
        await driver.press("i")
        await driver.opened("Inspect")
        await driver.reads("attempts 0 of 20 used")
        await driver.reads("not counted: snoozed")
