"""`hms-svc queues show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from hms_svc.cli.options import AsJson, Commands, TypeName
from hms_svc.cli.output import echo, emit, facts, table, when
from hms_svc.cli.session import run, session_of

if TYPE_CHECKING:
    from hms_svc.operations.schedules import ScheduleView
    from hms_svc.operations.type_detail import TypeDetail


def show(context: typer.Context, type_name: TypeName, as_json: AsJson = False) -> None:
    """Show all details of a type.

    These are counts, workers, causes of failures, results, settings and the schedule.
    """

    async def work() -> TypeDetail:
        session = session_of(context)
        async with session.operations(database=False, with_rules=True) as operations:
            return await operations.types.detail(type_name)

    detail = run(work)
    if as_json:
        from hms_svc.operations.answers.type_detail import TypeDetailAnswer

        emit(TypeDetailAnswer.of_type(detail))
    else:
        _print(detail)


COMMANDS: Final[Commands] = {"show": show}


def _schedule_text(schedule: ScheduleView) -> str:
    paused = f"paused by {schedule.paused_by}"
    then = paused if schedule.is_paused else f"next at {when(schedule.next_at)}"
    skipped = f"; {schedule.skipped:,} runs skipped" if schedule.skipped else ""
    return f"{schedule.description}, {then}{skipped}"


def _print(detail: TypeDetail) -> None:
    from hms_svc.operations.answers.service import COUNTED
    from hms_svc.operations.type_detail import settings_facts

    queue, schedule, took = detail.queue, detail.schedule, detail.took
    claimed = queue.counters.get("claimed")
    counted = ((name, getattr(queue.counts, name)) for name in ("intake", *COUNTED))
    facts(
        [
            ("type", queue.type),
            ("why", detail.why),
            ("jobs", ", ".join(f"{number:,} {name}" for name, number in counted if number)),
            ("totals", ", ".join(f"{n:,} {name}" for name, n in queue.counters.items() if n)),
            (
                "failed",
                claimed and f"{queue.counters.get('failed', 0) / claimed:.0%} of all attempts",
            ),
            (
                "took",
                took
                and f"p50 {took.p50:,} ms, p95 {took.p95:,} ms, p99 {took.p99:,} ms, "
                f"of the newest {took.of} completed",
            ),
            ("paused at", when(detail.paused_at)),
            ("unknown", detail.unread and f"when it was paused: {detail.unread}"),
            *(("snoozed", text) for text in detail.snoozed_texts),
            ("schedule", schedule and _schedule_text(schedule)),
            *settings_facts(detail),
        ]
    )
    if detail.workers:
        table(
            ("worker", "its jobs", "at most", "busy", "slots", "seen"),
            [
                (
                    each.worker,
                    each.running,
                    each.most,
                    each.busy,
                    each.slots,
                    "silent" if each.is_silent else when(each.last_seen_at),
                )
                for each in detail.workers
            ],
            title="workers",
        )
    else:
        echo("\nno worker serves it")
    if detail.groups:
        table(
            ("count", "state", "reason", "error or by", "pattern", "first", "last", "id"),
            [
                (
                    g.count,
                    g.state,
                    g.reason,
                    g.error or g.by,
                    g.pattern,
                    when(g.first_at),
                    when(g.last_at),
                    g.id,
                )
                for g in detail.groups
            ],
            title="failures",
            leaving=("first", "error or by", "reason", "last", "pattern"),
        )
    if detail.newest:
        table(
            ("id", "state", "ended", "reason", "detail"),
            [
                (job.id, job.state, when(job.finished_at), job.reason, job.detail or job.failure)
                for job in detail.newest
            ],
            title="newest results",
            leaving=("ended", "detail", "reason"),
        )
