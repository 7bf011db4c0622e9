"""`hms-svc enqueue`: everything is parsed and validated before anything is sent."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hms_svc.cli.options import AsJson
from hms_svc.cli.output import progress
from hms_svc.cli.session import Session, run, session_of
from hms_svc.domain.errors import BadInput
from hms_svc.domain.utf8 import without_mark

if TYPE_CHECKING:
    from hms_svc.cli.enqueue_output import Output
    from hms_svc.domain.job import Job
    from hms_svc.operations.intake import Draft, SubmissionOptions

MOST_COPIES = 10_000_000
STDIN = "-"


def enqueue(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|-", help="JSON: one object, an array, or one object per line."
        ),
    ] = None,
    *,
    type_name: Annotated[
        str | None,
        typer.Option("--type", help="Type of jobs that have none.", show_default=False),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Set a value; {n} in it becomes the number of the copy.",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, max=MOST_COPIES, help="Number of copies of each job.")
    ] = 1,
    delay: Annotated[
        str | None, typer.Option(help="Run after this delay: 90s, 5m, 1h.", show_default=False)
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="Run at this time (RFC 3339).", show_default=False)
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until all jobs have finished.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Maximum wait in seconds.", show_default="60")
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not validate the payload; the worker will.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Submit the bytes of each file unparsed; requires --type.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Submit jobs: either all of them or, if one is invalid, none."""
    from hms_svc.cli.enqueue_output import Output
    from hms_svc.operations.intake import SubmissionOptions, read_assignments

    session = session_of(context)
    session.check_writable("enqueue")
    if not files and (type_name is None or raw):
        raise BadInput("enqueue requires FILE or - (standard input), or --type with --set")
    if timeout is not None and not wait:
        raise BadInput("--timeout requires --wait")
    now_ms = time.time_ns() // 1_000_000
    options = SubmissionOptions(
        type=type_name,
        assignments=read_assignments(assignments or ()),
        not_before=_not_before(delay, at, now_ms),
        count=count,
    )
    if raw and (type_name is None or options != SubmissionOptions(type=type_name)):
        raise BadInput(
            "--raw requires --type, and allows no option that needs the bytes to be parsed"
        )
    limit = session.settings.wait_seconds if timeout is None else timeout
    output = Output(as_json=as_json, wait_seconds=limit if wait else None)
    sources = files or []
    if raw:
        code = run(lambda: _submit_raw(session, type_name or "", sources, output))
    else:
        jobs, given, handlers = _read_all(session, sources, options, now_ms, no_check)
        code = run(lambda: _enqueue(session, jobs, given, handlers, output))
    raise typer.Exit(code)


def read_source(name: str) -> tuple[str, bytes]:
    """Read a file, or standard input for `-`; return its name for messages, and the JSON.

    A byte-order mark, which some editors and shells add, is removed.
    """
    name, raw = _read_bytes(name)
    return name, without_mark(raw)


def _read_bytes(name: str) -> tuple[str, bytes]:
    try:
        if name == STDIN:
            return "standard input", sys.stdin.buffer.read()
        return name, Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadInput(f"{name}: {reason}") from error


def _not_before(delay: str | None, at: str | None, now_ms: int) -> int | None:
    from hms_svc.domain.timestamps import check_time, from_rfc3339

    if delay is not None and at is not None:
        raise BadInput("--delay and --at cannot be combined: use one of them")
    if at is not None:
        return from_rfc3339(at)
    if delay is None:
        return None
    from hms_svc.domain.filter_terms import read_duration_ms

    try:
        return check_time(now_ms + read_duration_ms(delay), f"--delay {delay}")
    except ValueError as error:
        raise BadInput(f"--delay {delay!r:.40} is not {error}") from error


def _read_all(
    session: Session, sources: list[str], options: SubmissionOptions, now_ms: int, no_check: bool
) -> tuple[list[tuple[Draft, Job]], set[str], set[str]]:
    """Return the jobs, which of their ids were given, and the types whose handlers are known here."""
    from hms_svc.operations.intake import Draft, Faults, read_document
    from hms_svc.operations.submission import check_jobs

    faults = Faults()
    drafts = [] if sources else [Draft("--type", {"data": {}})]
    for source in sources:
        try:
            name, raw = read_source(source)
        except BadInput as error:
            faults.add("", error)
        else:
            drafts += read_document(name, raw, faults)
    registry = None
    if drafts and not no_check:
        from hms_svc.bootstrap import application

        types = {str(draft.value.get("type", options.type)) for draft in drafts}
        registry = application(session.settings, only=types)
    jobs = check_jobs(drafts, options, faults, registry=registry, now_ms=now_ms)
    faults.check()
    given = {str(draft.value["id"]) for draft in drafts if "id" in draft.value}
    return jobs, given, {declared.type for declared in registry or ()}


async def _enqueue(
    session: Session,
    jobs: list[tuple[Draft, Job]],
    given: set[str],
    handlers: set[str],
    output: Output,
) -> int:
    from hms_svc.operations.intake import Faults
    from hms_svc.operations.submission import check_ids, send

    types = {job.id: job.type for _, job in jobs}
    async with session.backend(bounded=not output.waits) as backend:
        if given:
            faults = Faults()
            await check_ids(jobs, given, backend.inspection, faults)
            faults.check()
        await output.begin(backend)
        with progress("enqueue", len(jobs)) as advance:
            async for answers in send(backend.broker, [job for _, job in jobs]):
                advance(len(answers))
                output.accepted(answers, types)
        return await output.finish(backend, handlers)


async def _submit_raw(session: Session, type_name: str, sources: list[str], output: Output) -> int:
    from hms_svc.domain.ids import check_job_type

    check_job_type(type_name)
    items = [_read_bytes(source)[1] for source in sources]
    async with session.backend(bounded=not output.waits) as backend:
        await output.begin(backend)
        answers = await backend.broker.enqueue_raw(type_name, items)
        output.accepted(answers, {answer.job_id: type_name for answer in answers})
        return await output.finish(backend, handlers=())
