"""Hostile text in every field from outside, on every screen and in every dialog."""

from __future__ import annotations

import msgspec
import pytest
from textual.widgets import Input, TextArea

from hms_svc.domain.event import Event
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import AttemptView, JobPage, ProgressView, Transition
from hms_svc.operations.reads import FullJob
from hms_svc.tui.audit_rows import fold
from hms_svc.tui.queries import (
    AuditRows,
    AuditRowsQuery,
    CaseQuery,
    CaseRows,
    CasesQuery,
    EventsQuery,
    JobQuery,
    JobsQuery,
    RunningJobs,
    RunningJobsQuery,
)
from hms_svc.tui.snapshot import FullJobSeen, Snapshot
from hms_svc.tui.widgets.page import Page
from tests.dashboard import city
from tests.dashboard.conftest import ConsoleMaker
from tests.dashboard.hostile import HOSTILE, NAME, fill, harm_in
from tests.dashboard.stills import FACTS, Still, keys
from tests.support.console import ConsoleDriver

APP = "tests.dashboard.hostile:app"


def check(driver: ConsoleDriver, where: str) -> None:
    harm = harm_in(driver.console.screen._compositor.render_strips())
    assert harm == [], f"{where}: {harm[:3]}"


async def test_no_screen_or_dialog_shows_control_characters(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(app=(APP,), actor="ann\u202e\x9b2J", works=True) as driver:
        await fill(driver)
        await driver.sees("EVIL")
        await driver.until("all are in place", lambda: ended(driver) == 5)
        for key, name in enumerate(
            (
                "Overview",
                "Jobs",
                "Failures",
                "Held",
                "Workers",
                "Cases",
                "Events",
                "Schedules",
                "Audit",
            ),
            1,
        ):
            await driver.press(str(key))
            await driver.opened(name)
            await driver.until(f"{name} is known", lambda: "loading …" not in driver.text())
            for _ in range(12):
                await driver.press("down")
                check(driver, name)
        for job in await driver.jobs():
            await walk(driver, job.id)
        await plans(driver)


def ended(driver: ConsoleDriver) -> int:
    return sum(
        queue.counts.rejected + queue.counts.dead + queue.counts.completed + queue.counts.processing
        for queue in driver.console.store.snapshot.queues
    )


async def walk(driver: ConsoleDriver, job_id: str) -> None:
    await driver.press(":")
    await driver.put(f"inspect {job_id}")
    await driver.press("enter")
    await driver.opened("Inspect")
    page = driver.console.screen.query_one("#page", Page)
    await driver.until("the job is shown", lambda: "History" in page.text)
    for _ in range(6):
        check(driver, "Inspect")
        await driver.press("pagedown")
    for key, name in (("w", "Message"), ("?", "Message")):
        await driver.press(key)
        await driver.opened(name)
        check(driver, name)
        await driver.press("escape")
    driver.console.notice = ()
    await driver.press("E")
    await driver.until(
        "it was edited or refused", lambda: driver.screen == "EditDialog" or refused(driver)
    )
    if driver.screen == "EditDialog":
        await driver.opened("EditDialog")
        check(driver, "EditDialog")
        editor = driver.console.screen.query_one("#data", TextArea)
        if editor.text.startswith("{\n"):
            editor.text = editor.text.replace("text", "other", 1)
            await driver.press("ctrl+s")
            await driver.opened("CheckedDialog")
            check(driver, "CheckedDialog")
            await driver.press("escape")
            await driver.opened("EditDialog")
            await driver.press("escape")
            await driver.opened("ConfirmDialog")
            await driver.press("enter")
        else:
            await driver.press("escape")
    await driver.opened("Inspect")
    await driver.press("escape")


def refused(driver: ConsoleDriver) -> bool:
    return "refused" in "".join(part.text for part in driver.console.notice)


async def plans(driver: ConsoleDriver) -> None:
    await driver.press("3")
    await driver.opened("Failures")
    await driver.press("r")
    await driver.opened("ConfirmDialog")
    check(driver, "ConfirmDialog")
    driver.console.screen.query_one("#note", Input).value = HOSTILE
    await driver.pilot.pause()
    check(driver, "a pasted note")
    await driver.press("enter")
    await driver.sees("retried")
    await driver.press("9")
    await driver.opened("Audit")
    await driver.until("the note is shown", lambda: len(driver.grid("table").rows) > 3)
    check(driver, "Audit")


async def test_the_palette_shows_hostile_names_harmless(open_console: ConsoleMaker) -> None:
    async with open_console(app=(APP,)) as driver:
        await fill(driver)
        await driver.press("5")
        await driver.sees("EVIL")
        await driver.press("down", "ctrl+p")
        await driver.type("copy")
        await driver.sees("hms-svc")
        check(driver, "palette")


def evil(name: str) -> Snapshot:
    """Return the city with hostile text in each field from outside."""
    jobs = tuple(
        msgspec.structs.replace(
            job,
            reason=HOSTILE,
            by=HOSTILE,
            detail=HOSTILE,
            failure=HOSTILE,
            worker=HOSTILE,
            case_id=job.case_id and HOSTILE,
            data=HOSTILE.encode(),
            unique_key=HOSTILE,
        )
        for job in city.JOBS
    )
    return msgspec.structs.replace(
        city.PICTURE,
        trouble="" if name != "trouble" else HOSTILE,
        queues=tuple(
            msgspec.structs.replace(queue, paused=True, paused_by=HOSTILE, pause_reason=HOSTILE)
            for queue in city.QUEUES
        ),
        workers=tuple(
            msgspec.structs.replace(
                worker,
                id=HOSTILE + str(n),
                host=HOSTILE,
                types=(HOSTILE,),
                jobs=tuple(job.id for job in jobs[n : n + 1]),
            )
            for n, worker in enumerate(city.WORKERS)
        ),
        failures=tuple(
            msgspec.structs.replace(
                group,
                reason=HOSTILE,
                by=HOSTILE,
                error=NAME,
                pattern=HOSTILE,
                newest_detail=HOSTILE,
            )
            for group in city.FAILURES
        ),
        results=tuple(
            msgspec.structs.replace(
                result, reason=HOSTILE, detail=HOSTILE, case_id=HOSTILE, type=HOSTILE
            )
            for result in city.RESULTS
        ),
    )


def evil_answers() -> dict[type, object]:
    view = msgspec.structs.replace(
        city.JOBS[7],
        reason=HOSTILE,
        by=HOSTILE,
        detail=HOSTILE,
        failure=HOSTILE,
        worker=HOSTILE,
        data=b'"' + HOSTILE.encode() + b'"',
        unique_key=HOSTILE,
        cause=HOSTILE,
    )
    attempt = AttemptView(
        attempt=1,
        started_at=1,
        ended_at=2,
        worker=HOSTILE,
        fence=1,
        error=HOSTILE,
        traceback=HOSTILE,
        log=HOSTILE,
    )
    detail = msgspec.structs.replace(
        city.DEAD_JOB,
        view=view,
        attempts=(attempt,),
        result=HOSTILE.encode(),
        history=(
            Transition(at=1, source=None, target=State.QUEUED, trigger=HOSTILE, detail=HOSTILE),
        ),
        progress=(ProgressView(number=1, at=1, share=0.5, message=HOSTILE),),
        raw=HOSTILE.encode(),
        raw_length=9,
        raw_digest=HOSTILE,
        retried_from=HOSTILE,
        hold=(HOSTILE, HOSTILE, HOSTILE),
    )
    case = msgspec.structs.replace(
        city.CASE, kind=HOSTILE, user_id=HOSTILE, data=HOSTILE.encode(), job_id=HOSTILE
    )
    audit = tuple(
        msgspec.structs.replace(
            row,
            actor=HOSTILE,
            action=HOSTILE,
            subject=HOSTILE,
            detail=msgspec.json.encode({"note": HOSTILE, NAME: NAME}),
        )
        for row in city.AUDIT
    )
    event = Event(
        id="1",
        type="job.dead",
        subject=HOSTILE,
        at=1,
        position=1,
        data=msgspec.json.encode({"type": HOSTILE, "reason": HOSTILE}),
    )
    return {
        JobsQuery: JobPage((view,), None, 1),
        JobQuery: FullJobSeen(
            FullJob(detail=detail, case=case, audit=audit, archived=False), HOSTILE
        ),
        RunningJobsQuery: RunningJobs(
            {city.JOBS[0].id: msgspec.structs.replace(detail, view=city.JOBS[0])}
        ),
        CasesQuery: CaseRows((case,), None),
        CaseQuery: case,
        EventsQuery: (event, msgspec.structs.replace(event, id="2", type=HOSTILE, position=2)),
        AuditRowsQuery: AuditRows(tuple(fold(audit)), True),
    }


@pytest.mark.parametrize("size", [pytest.param((200, 60), marks=pytest.mark.interop), (40, 10)])
async def test_hostile_views_are_harmless_at_any_size(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.dashboard.stills.ANSWERS", evil_answers())
    facts = msgspec.structs.replace(FACTS, profile=HOSTILE, actor=HOSTILE, broker=HOSTILE)
    console = Still(evil("trouble"), facts=facts)
    async with console.run_test(size=size) as pilot:
        for key in (
            "1",
            "2",
            "i",
            "escape",
            "3",
            "4",
            "5",
            "down",
            "down",
            "6",
            "i",
            "escape",
            "7",
            "8",
            "9",
            "question_mark",
        ):
            await keys(pilot, key)
            harm = harm_in(console.screen._compositor.render_strips())
            assert harm == [], f"{key}: {harm[:3]}"
