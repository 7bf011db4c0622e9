"""`hms-svc status` and `hms-svc workers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hms_svc.cli.options import AsJson
from hms_svc.cli.printing import console, emit, flush, make_table, table
from hms_svc.cli.session import Session, run, session_of

if TYPE_CHECKING:
    from hms_svc.domain.health import Health
    from hms_svc.domain.views import QueueView, WorkerView
    from hms_svc.operations.reads import Status

WORKER_COLUMNS = ("worker", "host", "pid", "busy", "slots", "lane", "types", "seen s ago")
WORKERS_LEAVING = ("lane", "pid", "host", "types", "slots", "seen s ago", "busy")


def status(
    context: typer.Context,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until ctrl+c.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between looks.")] = 2.0,
) -> None:
    """Show queues, workers and totals."""
    session = session_of(context)
    run(lambda: show_status(session, as_json=as_json, interval=interval if watch else None))


def workers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the live workers and the jobs in their hands."""
    run(lambda: _workers(session_of(context), as_json))


async def show_status(session: Session, *, as_json: bool, interval: float | None = None) -> None:
    """Print what `status` prints: once, or again every `interval` seconds."""
    import asyncio

    async with session.operations(database=False) as operations:
        if interval is None or as_json:
            _print(await operations.reads.status(), session, as_json)
        while interval is not None and as_json:
            flush()
            await asyncio.sleep(interval)
            _print(await operations.reads.status(), session, as_json)
        if interval is None:
            return
        from rich.live import Live

        with Live(console=console(), auto_refresh=False, screen=False) as live:
            while True:
                live.update(_page(await operations.reads.status(), session), refresh=True)
                await asyncio.sleep(interval)


def _print(seen: Status, session: Session, as_json: bool) -> None:
    from hms_svc.operations.shapes import status_shape

    if as_json:
        emit(status_shape(seen, session.settings.database.kind))
    else:
        console().print(_page(seen, session))


def _page(seen: Status, session: Session) -> Any:
    from rich.console import Group
    from rich.text import Text

    from hms_svc.operations.shapes import status_shape

    shape = status_shape(seen, session.settings.database.kind)
    engines = [
        f"{name} {shape[name]['kind']} {'ok' if shape[name]['ok'] else 'NOT REACHABLE'}"
        for name in ("broker", "database")
    ]
    head = f"{engines[0]} ({shape['broker']['round_trip_ms']:.1f} ms), {engines[1]}"
    parts: list[Any] = [Text(head), *(Text(line) for line in health_lines(seen.health))]
    parts.append(queue_table(seen))
    if seen.types_left_off:
        parts.append(Text(left_off_words(seen)))
    if seen.workers:
        parts.append(
            make_table(WORKER_COLUMNS, worker_rows(seen.workers, seen.at), leaving=WORKERS_LEAVING)
        )
    return Group(*parts)


def health_lines(health: Health) -> list[str]:
    """Tell of each trouble in a line, the worst first; or that all is well."""
    lines = []
    for trouble in health.troubles:
        detail = f"; {trouble.detail}" if trouble.detail else ""
        lines.append(f"{trouble.level}: {trouble.told(health.at)}{detail}")
    return lines or ["all well"]


def _note(queue: QueueView) -> str:
    if queue.faults:
        return "faulty key, see doctor"
    if queue.paused:
        return "intake paused" if queue.intake_paused else "paused"
    return "" if queue.served else "not served"


def left_off_words(seen: Status) -> str:
    """Tell of the types that the list and its totals leave off."""
    return (
        f"{seen.types_left_off:,} types that no live worker serves are left off, also in the total"
    )


def queue_table(seen: Status) -> Any:
    """Make the table of queues with their totals."""
    from hms_svc.operations.shapes import COUNTED, queue_shape, total_counts

    rows = []
    for queue in seen.queues:
        shape = queue_shape(queue, seen.at)
        note = _note(queue)
        age = shape["oldest_age_s"]
        rows.append(
            [queue.type, *(shape[name] for name in COUNTED), "" if age is None else age, note]
        )
    totals = total_counts([queue.counts for queue in seen.queues])
    rows.append(["total", *(totals[name] for name in COUNTED), "", ""])
    leaving = (
        "cancelled", "rejected", "completed", "scheduled", "held", "oldest s", "retrying", "",
    )  # fmt: skip
    return make_table(["queue", *COUNTED, "oldest s", ""], rows, leaving=leaving)


def busy_words(worker: WorkerView) -> str:
    """Return how many slots are busy, and how many of those by functions that do not return."""
    return f"{worker.busy} ({worker.hung} hung)" if worker.hung else str(worker.busy)


def worker_rows(seen: tuple[WorkerView, ...] | list[WorkerView], now_ms: int) -> list[list[object]]:
    """Give the rows of the table of workers."""
    return [
        [
            each.id, each.host, str(each.pid), busy_words(each), each.slots, each.lane,
            ", ".join(each.types), max(now_ms - each.last_seen_at, 0) / 1000,
        ]
        for each in seen
    ]  # fmt: skip


async def _workers(session: Session, as_json: bool) -> None:
    from hms_svc.operations.shapes import worker_shape

    async with session.operations(database=False) as operations:
        found = await operations.reads.workers()
        now = operations.reads.now_ms()
    if as_json:
        for worker in found:
            emit(worker_shape(worker, now))
    else:
        table(WORKER_COLUMNS, worker_rows(found, now), leaving=WORKERS_LEAVING)
