"""Workers as rows of slots: the job in each, how long, how far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

import msgspec
from textual.widget import Widget

from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import JobDetail, WorkerView
from tui import formatting as f
from tui.commands import Target
from tui.looks import HandsLook
from tui.picture import Look, Picture
from tui.screens.room import Room
from tui.text import Cell, Column, Role, Row, cell, line
from tui.widgets.grid import Grid

COLUMNS: Final = (
    Column(title="Workers", width=20, grow=1),
    Column(title="slots", width=6, align="right"),
    Column(title="type", width=15),
    Column(title="for", width=7, align="right"),
    Column(title="of its p95", width=10),
    Column(title="step and progress", width=20, grow=4),
    Column(title="seen", width=5, align="right"),
    Column(title="job", width=13, drop=1),
)
SILENT_MS: Final = 12_000
REMEMBERED_MS: Final = 300_000


class Gone(msgspec.Struct, frozen=True):
    """A worker that has left the register, and the jobs that it had when it was last seen."""

    worker: WorkerView
    at: int


class Workers(Room):
    """Who works, and on what; one that has vanished stays in sight for five minutes."""

    title_words: ClassVar[str] = "Workers"

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, WorkerView] = {}
        self._gone: dict[str, Gone] = {}

    def body(self) -> Iterable[Widget]:
        """Give the table."""
        yield Grid(COLUMNS, id="workers", empty=[
            line("No worker is alive. Start some: ", cell("hms-svc serve", "strong")),
        ])  # fmt: skip

    def look(self) -> Look:
        """Ask for the jobs in hand."""
        return HandsLook()

    def show(self, picture: Picture) -> None:
        """Show each worker with its slots."""
        self._remember(picture)
        found = picture.answer_to(self.look())
        details = {each.view.id: each for each in found} if isinstance(found, tuple) else {}
        rows: list[Row] = []
        for worker in picture.workers:
            rows += worker_rows(worker, details, picture.p95, picture.at)
        for gone in self._gone.values():
            rows.append(gone_row(gone, picture.at))
        self.query_one("#workers", Grid).show(rows)

    def _remember(self, picture: Picture) -> None:
        """Keep those who vanished while they had work in hand, or fell silent before."""
        alive = {worker.id: worker for worker in picture.workers}
        for worker_id, worker in self._known.items():
            silent = picture.at - worker.last_seen_at > SILENT_MS
            if worker_id not in alive and (worker.jobs or silent):
                self._gone[worker_id] = Gone(worker, picture.at)
        self._known = alive
        for worker_id, gone in list(self._gone.items()):
            if worker_id in alive or picture.at - gone.at > REMEMBERED_MS:
                del self._gone[worker_id]

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
    worker: WorkerView, details: Mapping[str, JobDetail], p95: Mapping[str, int], now: int
) -> list[Row]:
    """Give a row for the worker, and one for each slot that is busy."""
    unseen = now - worker.last_seen_at
    role: Role = "bad" if unseen > SILENT_MS else "strong"
    sign = "✗" if unseen > SILENT_MS else "●"
    silent = "silent: its jobs will be rescued" if unseen > SILENT_MS else ", ".join(worker.types)
    if worker.hung and unseen <= SILENT_MS:
        role, silent = "bad", f"{plural(worker.hung, 'function')} past the timeout, not returning"
    lane = "suspects" if worker.lane == "suspect" else ""
    head = Row(
        key=worker.id,
        cells=(
            cell(f"{sign} {worker.id}", role),
            cell(f"{worker.busy}/{worker.slots}", "bad" if worker.hung else ""),
            cell(lane, "warn"),
            cell(f.age(now - worker.started_at), "dim"),
            Cell(""),
            cell(silent, "bad" if unseen > SILENT_MS else "dim"),
            cell(f.age(unseen), "bad" if unseen > SILENT_MS else "dim"),
            cell(f"pid {worker.pid}", "dim"),
        ),
    )
    return [
        head,
        *(_slot_row(worker, job_id, details.get(job_id), p95, now) for job_id in worker.jobs),
    ]


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


def gone_row(gone: Gone, now: int) -> Row:
    """Give the row of a worker that has vanished."""
    jobs = plural(len(gone.worker.jobs), "job")
    told = f"gone; {jobs} rescued" if gone.worker.jobs else "gone"
    return Row(
        key=gone.worker.id,
        cells=(
            cell(f"✗ {gone.worker.id}", "bad"),
            Cell(""),
            Cell(""),
            Cell(""),
            Cell(""),
            cell(told, "bad"),
            cell(f.age(now - gone.worker.last_seen_at), "bad"),
            cell(f"pid {gone.worker.pid}", "dim"),
        ),
    )
