"""The console over a fixed snapshot, and the picture files that its frames are compared with."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

import msgspec
from textual.pilot import Pilot
from textual.screen import Screen

from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobDetail, JobPage
from hms_svc.operations.service import Operations
from hms_svc.tui.app import Console
from hms_svc.tui.launch import Facts, Launch
from hms_svc.tui.queries import JobQuery, JobsQuery
from hms_svc.tui.screens.previewed import PreviewedScreen
from hms_svc.tui.snapshot import ScreenQuery, Seen, Snapshot
from hms_svc.tui.store import Store
from tests.dashboard.city import ANSWERS, DEAD_JOB, JOBS, NOW

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
REDRAW = "HMS_SVC_TEST_REDRAW"
FACTS = Facts(
    broker="redis://city",
    database="postgresql://city",
    namespace="city",
    actor="ann",
)


def nothing() -> AbstractAsyncContextManager[Operations]:
    raise AssertionError("a still opens no operator service")


class StillReads:
    """Reads the jobs of the snapshot; for an unknown id it returns the dead job."""

    async def explained(self, job_id: str) -> tuple[JobDetail, str]:
        """Return a job, and for the dead one its explanation."""
        view = next((job for job in JOBS if job.id == job_id), DEAD_JOB.view)
        if view.state is State.DEAD:
            return DEAD_JOB, ANSWERS[JobQuery].why  # type: ignore[attr-defined]  # a FullJobSeen
        return msgspec.structs.replace(DEAD_JOB, view=view, attempts=(), progress=()), ""


class StillOperations:
    """The part of the operator service that previews use."""

    reads = StillReads()


class StillStore(Store):
    """Always shows one snapshot."""

    def operations(self) -> Operations:
        return cast("Operations", StillOperations())

    def __init__(self, console: Console, snapshot: Snapshot) -> None:
        super().__init__(console.launch, console._changed, console.give_up)
        self.snapshot = snapshot

    def want(
        self, data_query: ScreenQuery | None, *, failures: bool = False, results: bool = False
    ) -> None:
        answer = ANSWERS.get(type(data_query))
        if isinstance(data_query, JobsQuery):
            where = parse_filter(data_query.where)
            answer = JobPage(tuple(job for job in JOBS if where.matches(job, NOW)), None)
        seen = (
            Seen(data_query, answer, NOW)
            if data_query is not None and self.snapshot.queues
            else None
        )
        self.snapshot = msgspec.structs.replace(self.snapshot, seen=seen)

    async def run(self) -> None:
        self._publish(self.snapshot)


class Still(Console):
    """A console with a fixed clock."""

    def __init__(self, snapshot: Snapshot, *, theme: str = "dark", facts: Facts = FACTS) -> None:
        super().__init__(Launch(operations=nothing, facts=facts, theme=theme))
        self.store = StillStore(self, snapshot)

    def now_ms(self) -> int:
        return NOW


async def keys(pilot: Pilot[int], *names: str) -> None:
    await pilot.pause()
    for name in names:
        await pilot.press(name)
        await pilot.pause()
    while _waits_for_its_preview(pilot.app.screen):
        await pilot.pause(0.01)
    await pilot.pause()


def _waits_for_its_preview(screen: Screen[object]) -> bool:
    return (
        isinstance(screen, PreviewedScreen)
        and screen._preview_query is not None
        and screen._read is None
    )


def check_picture(console: Console, name: str) -> None:
    """Compare the frame with the picture of this name; with HMS_SVC_TEST_REDRAW=1 write the picture."""
    drawn = console.export_screenshot(title="hms-svc")
    file = PICTURES / f"{name}.svg"
    if os.environ.get(REDRAW):
        PICTURES.mkdir(exist_ok=True)
        file.write_text(drawn)
    assert file.exists(), f"{file} is missing: run once with {REDRAW}=1, and check the picture"
    if drawn != file.read_text():
        wrong = file.with_suffix(".wrong.svg")
        wrong.write_text(drawn)
        raise AssertionError(f"{file.name} has changed: see {wrong}, or run with {REDRAW}=1")
