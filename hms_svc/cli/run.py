"""`hms-svc run`: one job in this process, for developers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from hms_svc.cli.output import echo
from hms_svc.cli.session import Session, session_of
from hms_svc.cli.session import run as run_async
from hms_svc.domain.errors import BadInput

if TYPE_CHECKING:
    from hms_svc.domain.job import Job
    from hms_svc.runtime.inline_worker import EndedRun
    from hms_svc.sdk.registry import Registry

NOT_COMPLETED = 3
STDIN = "-"


def run(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="JSON: one job, as `enqueue` takes it.")
    ],
    *,
    type_name: Annotated[
        str | None,
        typer.Option("--type", help="Type of a job that has none.", show_default=False),
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Set a value.")
    ] = None,
    app: Annotated[
        list[str] | None,
        typer.Option(metavar="M:N", help="Registry of your application.", show_default=False),
    ] = None,
    pdb: Annotated[
        bool, typer.Option("--pdb", help="Start the debugger where the run raised an exception.")
    ] = False,
) -> None:
    """Run one job here, once, so that breakpoint() works.

    Its output is not captured, and there is no time limit. Queue and cases are empty files, which are removed
    afterwards; nothing else runs on them. Settings, governance and the resources of the application are those
    of this installation. Exit code 3: the job did not complete.
    """
    session = session_of(context)
    session.check_writable("run")
    session.overrides |= {"app": tuple(app) if app else None}
    if pdb and file == STDIN:
        raise BadInput("--pdb reads standard input: give the job in a file")
    from hms_svc.bootstrap import application

    registry = application(session.settings, ready=True)
    job = _read(file, type_name, assignments or [], registry)
    ended = run_async(lambda: _run(session, registry, job, _debug if pdb else _do_nothing))
    _print(ended)
    raise typer.Exit(0 if ended.disposition.state == "completed" else NOT_COMPLETED)


def _read(file: str, type_name: str | None, assignments: list[str], registry: Registry) -> Job:
    """Return the job of the file, to be run at once. Raises BadInput for any fault, and for several jobs."""
    import msgspec

    from hms_svc.cli.enqueue import read_source
    from hms_svc.operations.intake import Faults, SubmissionOptions, read_assignments, read_document
    from hms_svc.operations.submission import check_jobs

    faults = Faults()
    name, raw = read_source(file)
    drafts = read_document(name, raw, faults)
    options = SubmissionOptions(type=type_name, assignments=read_assignments(assignments))
    now_ms = time.time_ns() // 1_000_000
    jobs = check_jobs(drafts, options, faults, registry=registry, now_ms=now_ms)
    faults.check()
    if len(jobs) != 1:
        raise BadInput(f"{name}: run takes one job, and these are {len(jobs)}")
    [(_, job)] = jobs
    if registry.get(job.type) is None:
        known = ", ".join(sorted(each.type for each in registry))
        raise BadInput(f"no handler for type {job.type!r}; the types are: {known}")
    return msgspec.structs.replace(job, not_before=None, expires_at=None)


async def _run(
    session: Session, registry: Registry, job: Job, debug: Callable[[EndedRun], None]
) -> EndedRun:
    import tempfile

    import msgspec

    from hms_svc.api.service_here import is_job_awaited
    from hms_svc.bootstrap import engines, worker_options
    from hms_svc.domain.backend_url import sqlite_url
    from hms_svc.observability.application_logs import application_logging
    from hms_svc.observability.logs import set_up_logging
    from hms_svc.runtime.inline_worker import InlineWorker, UntimedClock

    given = session.settings
    set_up_logging(given.log_level, given.log_format)
    with (
        tempfile.TemporaryDirectory(prefix="hms-svc-") as folder,
        application_logging(given.log_level, given.log_format),
    ):
        settings = msgspec.structs.replace(
            given,
            broker_url=sqlite_url(f"{folder}/queue.db"),
            database_url=sqlite_url(f"{folder}/cases.db"),
            otlp_endpoint="",
        )
        async with engines(settings, registry, clock=UntimedClock()) as opened:
            options = worker_options(settings, worker_id="run")
            worker = InlineWorker(opened, options, is_job_awaited=is_job_awaited)
            try:
                await opened.broker.enqueue([job])
                runs = await worker.work({job.type}, until=job.id)
                [ended] = [each for each in runs if each.job_id == job.id]
                debug(ended)
            finally:
                worker.close()
    return ended


def _do_nothing(ended: EndedRun) -> None:
    pass


def _debug(ended: EndedRun) -> None:
    """Start the debugger in the frame that raised the error of the run, if it has one."""
    if ended.error is not None:
        from pdb import post_mortem

        post_mortem(ended.error.__traceback__)


def _print(ended: EndedRun) -> None:
    done = ended.disposition
    why = ", ".join(part for part in (done.reason, done.detail) if part)
    echo(f"{done.state.value}: {why}" if why else done.state.value)
    if done.result is not None:
        echo(f"result: {done.result.decode()}")
    for effect in ended.effects:
        echo(f"case: {effect.case_id}")
    for job in ended.jobs:
        echo(f"enqueued, and not run: {job.type} {job.data.decode()}")
