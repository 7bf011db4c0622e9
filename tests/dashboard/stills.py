"""The console over a snapshot that stands still, and the files that its frames are held against."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

import msgspec
from textual.pilot import Pilot

from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobDetail, JobPage
from hms_svc.operations.service import Operations
from hms_svc.tui.app import Console
from hms_svc.tui.launch import Facts, Launch
from hms_svc.tui.queries import JobQuery, JobsQuery
from hms_svc.tui.screens.previewed import Previewed
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
    raise AssertionError("a still asks nobody")


class StillReads:
    """Knows the jobs of the snapshot; of one that it does not know, what the dead one is like."""

    async def explained(self, job_id: str) -> tuple[JobDetail, str]:
        """Return a job, and why it is so where it is the dead one."""
        view = next((job for job in JOBS if job.id == job_id), DEAD_JOB.view)
        if view.state is State.DEAD:
            return DEAD_JOB, ANSWERS[JobQuery].why  # type: ignore[attr-defined]  # a FullJobSeen
        return msgspec.structs.replace(DEAD_JOB, view=view, attempts=(), progress=()), ""


class StillOperations:
    """What a preview asks."""

    reads = StillReads()


class StillStore(Store):
    """Shows one snapshot, whatever is wanted."""

    def operations(self) -> Operations:
        return cast("Operations", StillOperations())

    def __init__(self, console: Console, snapshot: Snapshot) -> None:
        super().__init__(console.launch, console._changed, console.give_up)
        self.snapshot = snapshot

    def want(
        self, look: ScreenQuery | None, *, failures: bool = False, results: bool = False
    ) -> None:
        answer = ANSWERS.get(type(look))
        if isinstance(look, JobsQuery):
            where = parse_filter(look.where)
            answer = JobPage(tuple(job for job in JOBS if where.matches(job, NOW)), None)
        seen = Seen(look, answer, NOW) if look is not None and self.snapshot.queues else None
        self.snapshot = msgspec.structs.replace(self.snapshot, seen=seen)

    async def run(self) -> None:
        self._publish(self.snapshot)


class Still(Console):
    """A console whose clock stands."""

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
    while isinstance(pilot.app.screen, Previewed) and pilot.app.screen.is_reading:
        await pilot.pause(0.01)
    await pilot.pause()


def check_picture(console: Console, name: str) -> None:
    """Hold the frame against the file of this name; with HMS_SVC_TEST_REDRAW=1 write it instead."""
    drawn = console.export_screenshot(title="hms-svc")
    file = PICTURES / f"{name}.svg"
    if os.environ.get(REDRAW):
        PICTURES.mkdir(exist_ok=True)
        file.write_text(drawn)
    assert file.exists(), f"{file} is missing: run once with {REDRAW}=1, and look at it"
    if drawn != file.read_text():
        wrong = file.with_suffix(".wrong.svg")
        wrong.write_text(drawn)
        raise AssertionError(
            f"{file.name} looks different now: see {wrong}, or run with {REDRAW}=1"
        )
