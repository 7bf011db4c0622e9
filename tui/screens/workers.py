"""The screen Workers: their slots, with the job, run time, progress and lease of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

import msgspec
from textual.widget import Widget

from hms_svc.domain.lifecycle import State
from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import JobDetail, WorkerState, WorkerView
from hms_svc.operations.explanation import (
    has_rescuer,
    is_silent,
    request_text,
    silence_text,
)
from hms_svc.tui import formats as f
from hms_svc.tui.commands import Target
from hms_svc.tui.hints import States
from hms_svc.tui.queries import RunningJobs, RunningJobsQuery
from hms_svc.tui.screens.base import ConsoleScreen
from hms_svc.tui.snapshot import Snapshot
from hms_svc.tui.text import Cell, Column, Role, Row, cell, line
from hms_svc.tui.widgets.grid import Grid

WORKER_COLUMNS: Final = (
    Column(title="Workers", width=22, grow=2),
    Column(title="pid", width=7, align="right", drop=2),
    Column(title="busy", width=7, align="right"),
    Column(title="state", width=9),
    Column(title="detail", width=20, grow=5),
    Column(title="up", width=4, align="right", drop=1),
    Column(title="seen", width=5, align="right"),
)
SLOT_COLUMNS: Final = (
    Column(title="  job", width=17, grow=1),
    Column(title="type", width=15, grow=1),
    Column(title="running", width=8, align="right"),
    Column(title="vs its p95", width=10),
    Column(title="try", width=3, align="right", drop=1),
    Column(title="progress", width=12, grow=6),
    Column(title="lease", width=7, align="right"),
)
WIDE: Final = 180
REMEMBERED_MS: Final = 300_000
MAX_REMEMBERED: Final = 100
_DIED: Final = "WorkerDied:"
_NO_JOB: Final = "+"
"""The prefix of the names of rows for slots without a job: no job id begins with it."""


class GoneWorker(msgspec.Struct, frozen=True):
    """A worker that became silent or unregistered, with the jobs that it had when it was live."""

    worker: WorkerView
    at: int


class Head(Grid, can_focus=False):
    """The column titles of worker rows, above those of the slots."""

    DEFAULT_CSS = "Head { height: 1; }"


class Workers(ConsoleScreen):
    """Workers and their jobs; a worker that has vanished stays listed for five minutes."""

    heading: ClassVar[str] = "Workers"

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, WorkerView] = {}
        self._gone: dict[str, GoneWorker] = {}
        self._running_jobs = RunningJobs()

    def body(self) -> Iterable[Widget]:
        """Return the table with its two lines of column titles."""
        yield Head(WORKER_COLUMNS)
        yield Grid(
            SLOT_COLUMNS,
            id="workers",
            empty=[
                line("No live workers. Start some: ", cell("hms-svc serve", "strong")),
            ],
        )

    def data_query(self) -> RunningJobsQuery:
        """Query the running jobs, and the last jobs of workers that are gone."""
        ids = [job_id for gone in self._gone.values() for job_id in gone.worker.jobs]
        return RunningJobsQuery(tuple(ids[:MAX_REMEMBERED]))

    def show(self, snapshot: Snapshot) -> None:
        """Show each worker with its slots."""
        if not snapshot.at:
            return
        before = self.data_query()
        self._remember(snapshot)
        found = snapshot.answer_to(before)
        if isinstance(found, RunningJobs):
            self._running_jobs = found
        running = self._running_jobs
        rows: list[Row] = []
        for worker in (*snapshot.workers, *snapshot.silent_workers):
            rows += worker_rows(
                worker,
                running,
                snapshot,
                self._jobs_before(worker),
                is_wide=self.size.width >= WIDE,
            )
        in_register = {worker.id for worker in (*snapshot.workers, *snapshot.silent_workers)}
        rows += [
            gone_row(gone, running, snapshot.at)
            for worker_id, gone in self._gone.items()
            if worker_id not in in_register
        ]
        self.query_one("#workers", Grid).show(rows)
        if self.data_query() != before:
            self.console.store.want(self.data_query(), **self.wants())

    def _jobs_before(self, worker: WorkerView) -> tuple[str, ...]:
        gone = self._gone.get(worker.id)
        return gone.worker.jobs if gone is not None else worker.jobs

    def _remember(self, snapshot: Snapshot) -> None:
        """Remember workers that vanished or became silent with running jobs."""
        alive = {worker.id: worker for worker in snapshot.workers}
        for worker_id, worker in self._known.items():
            if worker_id not in alive and worker.jobs:
                self._gone[worker_id] = GoneWorker(worker, snapshot.at)
        self._known = alive
        for worker_id, gone in list(self._gone.items()):
            if worker_id in alive or snapshot.at - gone.at > REMEMBERED_MS:
                del self._gone[worker_id]

    def states(self) -> States:
        """Return the state of jobs in slots."""
        return {State.PROCESSING}

    def target(self) -> Target | None:
        """Return the job in the slot at the cursor; on other rows the worker."""
        cursor = self.query_one("#workers", Grid).chosen
        if cursor is None:
            return None
        worker_id, _, job_id = cursor.partition(" ")
        if job_id and not job_id.startswith(_NO_JOB):
            return Target(kind="job", ids=(job_id,))
        return Target(kind="worker", ids=(worker_id,))


def worker_rows(
    worker: WorkerView,
    running: RunningJobs,
    snapshot: Snapshot,
    jobs_before: Sequence[str] = (),
    *,
    is_wide: bool = True,
) -> list[Row]:
    """Return a row for the worker, then rows for its slots: those with a job, the oldest first, then the others."""
    now = snapshot.at
    is_silent_worker = is_silent(worker, now, running.lease_ms)
    state, role = _state_of(worker, is_silent_worker=is_silent_worker)
    described = ", ".join(worker.types)
    note_role: Role = "dim"
    if is_silent_worker:
        described, note_role = (
            _silence_detail(worker, running, snapshot, jobs_before, is_wide=is_wide),
            "bad",
        )
    elif text := request_text(worker, now):
        described, note_role = f"{text}; {described}", "warn"
    head = _head_row(
        worker,
        cell(f"{'✗' if is_silent_worker else '●'} {worker.id}", role),
        cell(f"{worker.busy}/{worker.slots}", "bad" if worker.hung else ""),
        cell(state, role if role != "strong" else ""),
        cell(described, note_role),
        cell(f.age(now - worker.started_at), "dim"),
        cell(f.age(now - worker.last_seen_at), "bad" if is_silent_worker else "dim"),
    )
    leases = dict(zip(worker.jobs, worker.lease_ends, strict=False))
    ordered = sorted(worker.jobs, key=lambda job_id: (_started(running.jobs.get(job_id)), job_id))
    slots = [
        _slot_row(worker, job_id, running.jobs.get(job_id), snapshot.p95, leases.get(job_id), now)
        for job_id in ordered
    ]
    return [head, *slots, *_rows_without_job(worker, is_silent_worker=is_silent_worker)]


def _head_row(worker: WorkerView, name: Cell, *cells: Cell) -> Row:
    pid = cell(worker.pid, "dim")
    return Row(key=worker.id, cells=(name, pid, *cells), columns=WORKER_COLUMNS)


def _state_of(worker: WorkerView, *, is_silent_worker: bool) -> tuple[str, Role]:
    if is_silent_worker:
        return "silent", "bad"
    if worker.lane == "suspect":
        return "suspects", "warn"
    return worker.state.value, "strong" if worker.state is WorkerState.WORKING else "warn"


def _started(detail: JobDetail | None) -> float:
    started = detail.view.started_at if detail is not None else None
    return float("inf") if started is None else started


def _rows_without_job(worker: WorkerView, *, is_silent_worker: bool) -> list[Row]:
    """Return a row for the slots that hung functions occupy, and one for the free slots."""
    rows: list[Row] = []
    if worker.hung:
        cells = (
            cell(f"  ✗ {worker.hung} hung", "bad"),
            *[Cell("")] * 4,
            cell(f"{plural(worker.hung, 'function')} past the timeout, not returning", "bad"),
        )
        rows.append(Row(key=f"{worker.id} {_NO_JOB}hung", cells=cells, under=worker.id))
    free = worker.slots - worker.busy
    if free > 0 and not is_silent_worker:
        text = f"  · {free} free" if worker.claims else f"  · {free} unused"
        cells = (cell(text, "dim"),)
        rows.append(Row(key=f"{worker.id} {_NO_JOB}free", cells=cells, under=worker.id))
    return rows


def _silence_detail(
    worker: WorkerView,
    running: RunningJobs,
    snapshot: Snapshot,
    jobs_before: Sequence[str],
    *,
    is_wide: bool,
) -> str:
    """Describe a silent worker and what happens to its jobs.

    On a narrow screen the most important part comes first.
    """
    if not worker.jobs:
        return _rescue_text(worker.id, jobs_before, running) or "silent; it had no jobs"
    can_be_rescued = has_rescuer(snapshot.workers, snapshot.at, running.lease_ms)
    described = silence_text(
        now_ms=snapshot.at,
        last_seen_at=worker.last_seen_at,
        lease_end=min(worker.lease_ends, default=None),
        has_rescuer=can_be_rescued,
    ).removeprefix("was ")
    if is_wide:
        return described
    _, _, lease = described.partition("; ")
    return lease if can_be_rescued else f"no live worker to take over; {lease.rpartition('; ')[0]}"


def _rescue_text(worker_id: str, job_ids: Sequence[str], running: RunningJobs) -> str:
    """Return how many of these jobs were rescued from a worker; empty if none was."""
    details = [running.jobs[job_id] for job_id in job_ids if job_id in running.jobs]
    rescued = sum(
        any(each.worker == worker_id and each.error.startswith(_DIED) for each in detail.attempts)
        for detail in details
    )
    return f"{rescued} of its {plural(len(job_ids), 'job')} rescued" if rescued else ""


def _slot_row(
    worker: WorkerView,
    job_id: str,
    detail: JobDetail | None,
    p95: Mapping[str, int],
    lease_end: int | None,
    now: int,
) -> Row:
    key = f"{worker.id} {job_id}"
    name = f"  ▸ {f.short_id(job_id)}"
    if detail is None or detail.view.started_at is None:
        cells = (cell(name, "dim"), *[Cell("")] * 5, _lease(lease_end, now))
        return Row(key=key, cells=cells, under=worker.id)
    view = detail.view
    took = now - (view.started_at or now)
    last = detail.last_progress
    share = (
        "" if last is None or last.share is None else f"{f.bar(last.share, 8)} {last.share:.0%} "
    )
    return Row(
        key=key,
        under=worker.id,
        cells=(
            cell(name),
            cell(view.type),
            cell(f.duration(took)),
            _compared_with_usual(took, p95.get(view.type)),
            cell(f"{view.attempt}"),
            cell(share + (last.message if last is not None else ""), "accent"),
            _lease(lease_end, now),
        ),
    )


def _lease(end: int | None, now: int) -> Cell:
    if end is None:
        return Cell("")
    return (
        cell(f"in {f.age(end - now)}", "dim") if end > now else cell(f"-{f.age(now - end)}", "bad")
    )


def _compared_with_usual(took: int, usual: int | None) -> Cell:
    if not usual:
        return Cell("–", "dim")
    times = took / usual
    role: Role = "bad" if times > 3 else "warn" if times > 1 else "good"
    return cell(f"{f.bar(min(1.0, times), 5)} {times:.1f}×" if times < 100 else ">100×", role)


def gone_row(gone: GoneWorker, running: RunningJobs, now: int) -> Row:
    """Return the row of a worker that is no longer registered."""
    worker = gone.worker
    described = _rescue_text(worker.id, worker.jobs, running)
    return _head_row(
        worker,
        cell(f"✗ {worker.id}", "bad"),
        Cell(""),
        cell("gone", "bad"),
        cell(f"no longer registered{'; ' if described else ''}{described}", "bad"),
        Cell(""),
        cell(f.age(now - worker.last_seen_at), "bad"),
    )
