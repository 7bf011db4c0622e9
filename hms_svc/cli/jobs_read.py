"""`hms-svc jobs list`, `groups`, `show` and `why`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from hms_svc.cli.options import Archive, AsJson, Commands, Cursor, JobId, Limit, Where
from hms_svc.cli.output import echo, emit, facts, flush, hint, pretty, table, when
from hms_svc.cli.session import Session, run, session_of

if TYPE_CHECKING:
    from hms_svc.domain.views import JobDetail, JobPage
    from hms_svc.operations.reads import FullJob, Reads

FOLLOW_SECONDS = 0.5


def list_jobs(
    context: typer.Context,
    where: Where = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    archive: Archive = False,
    as_json: AsJson = False,
) -> None:
    """List jobs, most recently changed first within a state."""
    run(lambda: _list(session_of(context), where or "", limit, cursor, archive, as_json))


def groups(context: typer.Context, as_json: AsJson = False) -> None:
    """List retrying, dead and rejected jobs by cause.

    Ten thousand failures of one bug are one row.
    """
    run(lambda: _groups(session_of(context), as_json))


def show(
    context: typer.Context,
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show progress and log lines until the job ends.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show all details of a job."""
    run(lambda: _show(session_of(context), job_id, follow, as_json))


def why(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Explain in one sentence why a job waits, was rejected, or died."""
    run(lambda: _why(session_of(context), job_id, as_json))


COMMANDS: Final[Commands] = {"list": list_jobs, "groups": groups, "show": show, "why": why}


async def _list(
    session: Session, where: str, limit: int, cursor: str | None, archive: bool, as_json: bool
) -> None:
    from hms_svc.domain.filter import parse_filter
    from hms_svc.operations.answers.jobs import JobAnswer

    wanted = parse_filter(where)
    async with session.operations(database=archive) as operations:
        reads = operations.reads
        page: JobPage
        if archive:
            page = await reads.archived_jobs(wanted, limit=limit, cursor=cursor)
        else:
            page = await reads.jobs(wanted, limit=limit, cursor=cursor)
    if as_json:
        for job in page.jobs:
            emit(JobAnswer.of(job))
    else:
        table(
            ("id", "type", "state", "attempt", "enqueued", "reason", "detail"),
            [
                (
                    j.id,
                    j.type,
                    j.state,
                    j.attempt,
                    when(j.enqueued_at),
                    j.reason,
                    j.detail or j.failure,
                )
                for j in page.jobs
            ],
            leaving=("enqueued", "attempt", "detail", "reason", "type"),
        )
    if page.cursor is not None:
        hint(f"more: --cursor {page.cursor}")
    elif not page.jobs and (ids := wanted.ids()):
        hint(f"no job with id {ids[0]!r} matches; to search for part of an id: --where id~{ids[0]}")


async def _groups(session: Session, as_json: bool) -> None:
    from hms_svc.operations.answers.jobs import FailureGroupAnswer

    async with session.operations(database=False) as operations:
        found = await operations.reads.failures()
    if as_json:
        for group in found:
            emit(FailureGroupAnswer.of(group))
        return
    table(
        (
            "count",
            "state",
            "type",
            "reason",
            "error or by",
            "pattern",
            "first",
            "last",
            "next",
            "id",
        ),
        [
            (
                g.count,
                g.state,
                g.type,
                g.reason,
                g.error or g.by,
                g.pattern,
                when(g.first_at),
                when(g.last_at),
                when(g.next_at),
                g.id,
            )
            for g in found
        ],
        leaving=("first", "next", "last", "state", "error or by", "reason", "type", "pattern"),
    )
    if found:
        hint(f"for example: hms-svc jobs list --where cause:{found[0].id}")


async def _why(session: Session, job_id: str, as_json: bool) -> None:
    async with session.operations(database=False) as operations:
        sentence = await operations.reads.why(job_id)
    if as_json:
        from hms_svc.operations.answers.jobs import Explanation

        emit(Explanation(id=job_id, why=sentence))
    else:
        echo(sentence)


async def _show(session: Session, job_id: str, follow: bool, as_json: bool) -> None:
    from hms_svc.operations.answers.jobs import JobDetailAnswer

    async with session.operations(database=False) as operations:
        if follow:
            await _follow(operations.reads, job_id, as_json)
        full_job = await operations.reads.full_job(job_id)
    if as_json:
        emit(JobDetailAnswer.of_detail(full_job.detail, archived=full_job.archived))
    else:
        _print_full_job(full_job)


async def _follow(reads: Reads, job_id: str, as_json: bool) -> None:
    import asyncio

    from hms_svc.domain.lifecycle import TERMINAL
    from hms_svc.operations.answers.jobs import FollowedLine

    seen = 0
    while True:
        detail, archived = await reads.detail(job_id)
        for line in [] if archived else await reads.progress(job_id, seen):
            seen = line.number
            if as_json:
                emit(FollowedLine.of(job_id, line))
            else:
                share = "log " if line.log else "" if line.share is None else f"{line.share:4.0%} "
                echo(f"{when(line.at)}  {share}{line.message}")
        flush()
        if archived or detail.view.state in TERMINAL:
            return
        await asyncio.sleep(FOLLOW_SECONDS)


def _print_full_job(full_job: FullJob) -> None:
    from hms_svc.domain.job import FIRST_VERSION
    from hms_svc.operations.answers.jobs import json_or_none
    from hms_svc.operations.producer_fields import producer_fields, sender_facts

    detail, view = full_job.detail, full_job.detail.view
    sent = producer_fields(detail)
    facts(
        [
            ("id", view.id),
            ("type", view.type),
            ("state", f"{view.state} (archived)" if full_job.archived else view.state),
            ("reason", view.reason),
            ("by", view.by),
            ("detail", view.detail),
            ("attempt", view.attempt),
            ("priority", view.priority or None),
            ("enqueued", when(view.enqueued_at)),
            ("due", when(view.due_at)),
            ("started", when(view.started_at)),
            ("finished", when(view.finished_at)),
            ("worker", view.worker),
            ("unique key", view.unique_key),
            ("payload version", sent.version if sent.version != FIRST_VERSION else None),
            ("case", view.case_id),
            ("batch", view.batch),
            ("held for", " under rule ".join(detail.hold[:2]) if detail.hold else None),
            ("retried from", detail.retried_from),
            (
                "bytes",
                f"{detail.raw_length} that are not a job" if detail.raw is not None else None,
            ),
            *sender_facts(sent),
        ]
    )
    echo("\ndata " + pretty(json_or_none(view.data)))
    for name, value in (("meta", sent.meta), ("unknown fields", sent.unknown_fields)):
        if value:
            echo(f"\n{name} {pretty(value)}")
    if detail.result is not None:
        echo("\nresult " + pretty(json_or_none(detail.result)))
    _print_past(detail)
    if full_job.case is not None:
        import msgspec

        from hms_svc.operations.answers.records import CaseAnswer

        echo("\ncase " + pretty(msgspec.to_builtins(CaseAnswer.of(full_job.case))))
    if full_job.audit:
        table(
            ("at", "actor", "action", "detail"),
            [(when(a.at), a.actor, a.action, a.detail.decode()) for a in full_job.audit],
            title="audit",
        )


def _print_past(detail: JobDetail) -> None:
    if detail.attempts:
        table(
            ("attempt", "started", "ended", "worker", "error"),
            [
                (a.attempt, when(a.started_at), when(a.ended_at), a.worker, a.error)
                for a in detail.attempts
            ],
            title="attempts",
        )
    for attempt in detail.attempts:
        if attempt.log:
            echo(f"\nlog of attempt {attempt.attempt}\n{attempt.log}")
        if attempt.traceback:
            echo(f"\ntraceback of attempt {attempt.attempt}\n{attempt.traceback}")
    table(
        ("at", "from", "to", "trigger", "detail"),
        [
            (when(each.at), each.source or "", each.target, each.trigger, each.detail)
            for each in detail.history
        ],
        title="history",
    )
