"""`hms-svc queues`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.jobs_act import hint_at_undo
from hms_svc.cli.options import AsJson, Commands, Reason, TypeName, Yes
from hms_svc.cli.output import confirmed, console, echo, emit, hint, progress
from hms_svc.cli.root import DONE, INTERRUPTED
from hms_svc.cli.session import Session, run, session_of
from hms_svc.domain.ids import check_job_type
from hms_svc.operations.action_table import BY_NAME

if TYPE_CHECKING:
    from hms_svc.operations.bulk import BatchReport
    from hms_svc.operations.service import Operations


def list_queues(context: typer.Context, as_json: AsJson = False) -> None:
    """List queues with their counts."""
    run(lambda: _list(session_of(context), as_json))


def _pause(
    context: typer.Context,
    type_name: TypeName,
    reason: Annotated[str, typer.Option(help="Reason; shown wherever the queue is.")] = "",
    intake: Annotated[
        bool, typer.Option("--intake", help="Also reject new jobs over HTTP and in envelopes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    async def work() -> str:
        async with session_of(context).operations() as operations:
            warning = await _unknown(type_name, operations)
            await operations.actions.pause(type_name, reason=reason, intake=intake)
            return warning

    warning = run(work)
    _report(type_name, paused=True, intake=intake, as_json=as_json)
    _warn(warning)


def _resume(context: typer.Context, type_name: TypeName, as_json: AsJson = False) -> None:
    async def work() -> str:
        async with session_of(context).operations() as operations:
            warning = await _unknown(type_name, operations)
            await operations.actions.resume(type_name)
            return warning

    warning = run(work)
    _report(type_name, paused=False, intake=False, as_json=as_json)
    _warn(warning)


def _purge(
    context: typer.Context,
    type_name: TypeName,
    note: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    if not confirmed(BY_NAME["purge"].asked(type_name), assume_yes=yes):
        hint("nothing was done")
        return

    async def work() -> BatchReport:
        from hms_svc.cli.interruption import interruptible

        async with session_of(context).operations() as operations:
            with progress("purge", None) as advance, interruptible() as pace:
                return await operations.actions.purge(
                    type_name, note=note, progressed=advance, pace=pace
                )

    report = run(work)
    _print_purge(report, as_json)
    raise typer.Exit(INTERRUPTED if report.left else DONE)


def why(context: typer.Context, type_name: TypeName, as_json: AsJson = False) -> None:
    """Explain in one sentence why a queue makes no progress."""

    async def work() -> str:
        async with session_of(context).operations(database=False) as operations:
            return await operations.reads.why_queue(type_name)

    sentence = run(work)
    if as_json:
        from hms_svc.operations.answers.service import QueueExplanation

        emit(QueueExplanation(type=type_name, why=sentence))
    else:
        echo(sentence)


COMMANDS: Final[Commands] = {
    "list": list_queues,
    **commands_of({"pause": _pause, "resume": _resume, "purge": _purge}),
    "why": why,
}


async def _unknown(type_name: str, operations: Operations) -> str:
    from hms_svc.operations.unserved_types import unknown_queue
    from hms_svc.services import INTERNAL, PRODUCED

    check_job_type(type_name)
    return await unknown_queue(type_name, {*PRODUCED, *INTERNAL}, operations.reads)


def _warn(sentence: str) -> None:
    if sentence:
        hint(f"warning: {sentence}")


async def _list(session: Session, as_json: bool) -> None:
    from hms_svc.cli.status import left_off_text, queue_table
    from hms_svc.operations.answers.service import QueueAnswer

    async with session.operations(database=False) as operations:
        seen = await operations.reads.status()
    if as_json:
        for queue in seen.queues:
            emit(QueueAnswer.of(queue, seen.at))
    else:
        console().print(queue_table(seen))
    if seen.types_left_off:
        hint(left_off_text(seen))


def _print_purge(report: BatchReport, as_json: bool) -> None:
    if as_json:
        from hms_svc.operations.answers.acts import OutcomeAnswer

        emit(OutcomeAnswer.of("purge", report))
        return
    echo(f"cancelled: {report.done:,}")
    if report.left:
        hint(f"interrupted: {report.left:,} still wait")
    if report.done:
        hint_at_undo(report)


def _report(type_name: str, *, paused: bool, intake: bool, as_json: bool) -> None:
    if as_json:
        from hms_svc.operations.answers.service import Paused

        emit(Paused(type=type_name, paused=paused, intake_paused=intake))
    elif intake:
        echo(f"{type_name} is paused, and new jobs are rejected over HTTP")
    else:
        echo(f"{type_name} is {'paused' if paused else 'resumed'}")
