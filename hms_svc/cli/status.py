"""`hms-svc status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hms_svc.cli.options import AsJson
from hms_svc.cli.output import can_repaint, console, emit, flush, make_table
from hms_svc.cli.session import Session, run, session_of
from hms_svc.cli.workers import WORKER_COLUMNS, WORKERS_LEAVING, worker_rows

if TYPE_CHECKING:
    from hms_svc.domain.health import Health
    from hms_svc.domain.views import QueueView
    from hms_svc.operations.reads import Status


def status(
    context: typer.Context,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between refreshes.")] = 2.0,
) -> None:
    """Show queues, workers, totals and health."""
    session = session_of(context)
    run(lambda: show_status(session, as_json=as_json, interval=interval if watch else None))


async def show_status(session: Session, *, as_json: bool, interval: float | None = None) -> None:
    """Print the output of `status`: once, or again every `interval` seconds."""
    import asyncio

    async with session.operations(database=False) as operations:
        if interval is None:
            _print(await operations.reads.status(), session, as_json)
            return
        if as_json or not can_repaint():
            while True:
                _print(await operations.reads.status(), session, as_json)
                flush()
                await asyncio.sleep(interval)
        from rich.live import Live

        with Live(console=console(), auto_refresh=False, screen=False) as live:
            while True:
                live.update(_page(await operations.reads.status(), session), refresh=True)
                await asyncio.sleep(interval)


def _print(seen: Status, session: Session, as_json: bool) -> None:
    if as_json:
        from hms_svc.operations.answers.service import StatusAnswer

        emit(StatusAnswer.of(seen, session.settings.database.kind))
    else:
        console().print(_page(seen, session))


def _page(seen: Status, session: Session) -> Any:
    from rich.console import Group
    from rich.text import Text

    database = seen.database
    kind = session.settings.database.kind if database is None else database.kind
    broker = _reached(f"broker {seen.broker.kind}", seen.broker.ok)
    head = f"{broker} ({seen.broker.round_trip_ms:.1f} ms), " + _reached(
        f"database {kind}", database is not None and database.ok
    )
    parts: list[Any] = [Text(head), *(Text(line) for line in health_lines(seen.health))]
    parts.append(queue_table(seen))
    if seen.types_left_off:
        parts.append(Text(left_off_text(seen)))
    if seen.workers:
        parts.append(
            make_table(WORKER_COLUMNS, worker_rows(seen.workers, seen.at), leaving=WORKERS_LEAVING)
        )
    return Group(*parts)


def _reached(engine: str, ok: bool) -> str:
    return f"{engine} {'ok' if ok else 'NOT REACHABLE'}"


def health_lines(health: Health) -> list[str]:
    """Return one line for each problem, the worst first; or that all is well."""
    return [trouble.line(health.at) for trouble in health.troubles] or ["all well"]


def _note(queue: QueueView) -> str:
    if queue.faults:
        return "faulty key, see hms-svc doctor"
    if queue.paused:
        return "intake paused" if queue.intake_paused else "paused"
    if queue.served:
        return ""
    return "quiet" if queue.quiet_workers else "not served"


def left_off_text(seen: Status) -> str:
    """Describe the types that the list and its totals leave out."""
    return (
        f"{seen.types_left_off:,} types that no live worker serves are left out, also of the totals"
    )


def queue_table(seen: Status) -> Any:
    """Return the table of queues with their totals."""
    from hms_svc.operations.answers.service import COUNTED, QueueAnswer, total_counts

    rows = []
    for queue in seen.queues:
        age = QueueAnswer.of(queue, seen.at).oldest_age_s
        counts = (getattr(queue.counts, name) for name in COUNTED)
        rows.append([queue.type, *counts, "" if age is None else age, _note(queue)])
    totals = total_counts([queue.counts for queue in seen.queues])
    rows.append(["total", *(totals[name] for name in COUNTED), "", ""])
    leaving = (
        "cancelled",
        "rejected",
        "completed",
        "scheduled",
        "held",
        "oldest s",
        "retrying",
        "",
    )
    return make_table(["queue", *COUNTED, "oldest s", ""], rows, leaving=leaving)
