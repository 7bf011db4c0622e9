"""Workers as rows of slots: the job in each, how long, how far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

import msgspec
from textual.widget import Widget

from hms_svc.domain.lifecycle import State
from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import JobDetail, WorkerView
from hms_svc.operations.explanation import has_rescuer, is_silent, silence_words
from tui import formatting as f
from tui.commands import Target
from tui.hints import States
from tui.looks import Hands, HandsLook
from tui.picture import Picture
from tui.screens.room import Room
from tui.text import Cell, Column, Role, Row, cell, line
from tui.widgets.grid import Grid

COLUMNS: Final = (
    Column(title="Workers", width=20, grow=1),
    Column(title="slots", width=7, align="right"),
    Column(title="type", width=15),
    Column(title="for", width=7, align="right"),
    Column(title="of its p95", width=10),
    Column(title="step and progress", width=20, grow=4),
    Column(title="seen", width=5, align="right"),
    Column(title="job", width=13, drop=1),
)
WIDE: Final = 180
REMEMBERED_MS: Final = 300_000
MOST_REMEMBERED: Final = 100
_DIED: Final = "WorkerDied:"


class Left(msgspec.Struct, frozen=True):
    """A worker that has fallen silent or left the register, with the jobs that it had when it was live."""

    worker: WorkerView
    at: int


class Workers(Room):
    """Who works, and on what; one that has vanished stays in sight for five minutes."""

    title_words: ClassVar[str] = "Workers"

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, WorkerView] = {}
        self._left: dict[str, Left] = {}
        self._hands = Hands()

    def body(self) -> Iterable[Widget]:
        """Give the table."""
        yield Grid(COLUMNS, id="workers", empty=[
            line("No worker is alive. Start some: ", cell("hms-svc serve", "strong")),
        ])  # fmt: skip

    def look(self) -> HandsLook:
        """Ask for the jobs in hand, and for what became of those of workers that have left."""
        ids = [job_id for left in self._left.values() for job_id in left.worker.jobs]
        return HandsLook(tuple(ids[:MOST_REMEMBERED]))

    def show(self, picture: Picture) -> None:
        """Show each worker with its slots."""
        if not picture.at:
            return
        before = self.look()
        self._remember(picture)
        found = picture.answer_to(before)
        if isinstance(found, Hands):
            self._hands = found
        hands = self._hands
        rows: list[Row] = []
        for worker in (*picture.workers, *picture.silent_workers):
            rows += worker_rows(
                worker, hands, picture, self._jobs_before(worker), is_wide=self.size.width >= WIDE
            )
        in_register = {worker.id for worker in (*picture.workers, *picture.silent_workers)}
        rows += [
            left_row(left, hands, picture.at)
            for worker_id, left in self._left.items()
            if worker_id not in in_register
        ]
        self.query_one("#workers", Grid).show(rows)
        if self.look() != before:
            self.console.store.want(self.look(), **self.wants())

    def _jobs_before(self, worker: WorkerView) -> tuple[str, ...]:
        left = self._left.get(worker.id)
        return left.worker.jobs if left is not None else worker.jobs

    def _remember(self, picture: Picture) -> None:
        """Keep those who vanished or fell silent while they had work in hand."""
        alive = {worker.id: worker for worker in picture.workers}
        for worker_id, worker in self._known.items():
            if worker_id not in alive and worker.jobs:
                self._left[worker_id] = Left(worker, picture.at)
        self._known = alive
        for worker_id, left in list(self._left.items()):
            if worker_id in alive or picture.at - left.at > REMEMBERED_MS:
                del self._left[worker_id]

    def states(self) -> States:
        """Give that of a job in a slot."""
        return {State.PROCESSING}

    def target(self) -> Target | None:
        """Give the job in the slot at the cursor, or the worker."""
        cursor = self.query_one("#workers", Grid).chosen
        if cursor is None:
            return None
        worker_id, blank, job_id = cursor.partition(" ")
        return (
            Target(kind="job", ids=(job_id,)) if blank else Target(kind="worker", ids=(worker_id,))
        )


def worker_rows(
    worker: WorkerView,
    hands: Hands,
    picture: Picture,
    jobs_before: Sequence[str] = (),
    *,
    is_wide: bool = True,
) -> list[Row]:
    """Give a row for the worker, and one for each slot that is busy."""
    now = picture.at
    is_unheard = is_silent(worker, now, hands.lease_ms)
    role: Role = "bad" if is_unheard else "strong"
    told_role: Role = "dim"
    told = ", ".join(worker.types)
    if is_unheard:
        told = _silence(worker, hands, picture, jobs_before, is_wide=is_wide)
        told_role = "bad"
    elif worker.hung:
        role = told_role = "bad"
        told = f"{plural(worker.hung, 'function')} past the timeout, not returning"
    head = Row(
        key=worker.id,
        cells=(
            cell(f"{'✗' if is_unheard else '●'} {worker.id}", role),
            cell(f"{worker.busy}/{worker.slots}", "bad" if worker.hung else ""),
            cell("suspects" if worker.lane == "suspect" else "", "warn"),
            cell(f.age(now - worker.started_at), "dim"),
            Cell(""),
            cell(told, told_role),
            cell(f.age(now - worker.last_seen_at), "bad" if is_unheard else "dim"),
            cell(f"pid {worker.pid}", "dim"),
        ),
    )
    slots = [
        _slot_row(worker, job_id, hands.jobs.get(job_id), picture.p95, now)
        for job_id in worker.jobs
    ]
    return [head, *slots]


def _silence(
    worker: WorkerView, hands: Hands, picture: Picture, jobs_before: Sequence[str], *, is_wide: bool
) -> str:
    """Tell of a worker that is not heard what is recorded of it and of the jobs that it had.

    Where the screen is not wide what matters most stands first.
    """
    if not worker.jobs:
        return _rescues(worker.id, jobs_before, hands) or "not heard; no job in its hands"
    is_attended = has_rescuer(picture.workers, picture.at, hands.lease_ms)
    told = silence_words(
        now_ms=picture.at,
        last_seen_at=worker.last_seen_at,
        lease_end=hands.lease_ends.get(worker.id),
        has_rescuer=is_attended,
    ).removeprefix("was ")
    if is_wide:
        return told
    _, _, lease = told.partition("; ")
    return lease if is_attended else f"no worker to rescue it; {lease.rpartition('; ')[0]}"


def _rescues(worker_id: str, job_ids: Sequence[str], hands: Hands) -> str:
    """Tell how many of these jobs were taken back from a worker, by the record of each; else nothing."""
    details = [hands.jobs[job_id] for job_id in job_ids if job_id in hands.jobs]
    rescued = sum(
        any(each.worker == worker_id and each.error.startswith(_DIED) for each in detail.attempts)
        for detail in details
    )
    return f"{rescued} of its {plural(len(job_ids), 'job')} rescued" if rescued else ""


def _slot_row(
    worker: WorkerView, job_id: str, detail: JobDetail | None, p95: Mapping[str, int], now: int
) -> Row:
    key = f"{worker.id} {job_id}"
    if detail is None or detail.view.started_at is None:
        return Row(key=key, cells=(cell(f"  └ {f.short_id(job_id)}", "dim"),))
    view = detail.view
    took = now - (view.started_at or now)
    usual = p95.get(view.type)
    last = detail.last_progress
    share = (
        "" if last is None or last.share is None else f"{f.bar(last.share, 8)} {last.share:.0%} "
    )
    return Row(
        key=key,
        cells=(
            cell(f"  └ {f.short_id(job_id)}"),
            cell(f"{view.attempt}."),
            cell(view.type),
            cell(f.duration(took)),
            _against(took, usual),
            cell(share + (last.message if last is not None else ""), "accent"),
            Cell(""),
            cell(f.short_id(job_id), "dim"),
        ),
    )


def _against(took: int, usual: int | None) -> Cell:
    if not usual:
        return Cell("no p95 yet", "dim")
    times = took / usual
    role: Role = "bad" if times > 3 else "warn" if times > 1 else "good"
    return cell(f"{f.bar(min(1.0, times), 5)} {times:.1f}×" if times < 100 else "over 100×", role)


def left_row(left: Left, hands: Hands, now: int) -> Row:
    """Give the row of a worker that is not in the register any more."""
    worker = left.worker
    told = _rescues(worker.id, worker.jobs, hands)
    return Row(
        key=worker.id,
        cells=(
            cell(f"✗ {worker.id}", "bad"),
            Cell(""),
            Cell(""),
            Cell(""),
            Cell(""),
            cell(f"left the register{'; ' if told else ''}{told}", "bad"),
            cell(f.age(now - worker.last_seen_at), "bad"),
            cell(f"pid {worker.pid}", "dim"),
        ),
    )
