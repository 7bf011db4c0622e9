"""`hms-svc jobs retry`, `cancel`, `discard`, `approve`, `deny` and `undo`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.options import AsJson, Commands, DryRun, Reason, Where, Yes
from hms_svc.cli.output import (
    confirmed,
    echo,
    emit,
    hint,
    needs_confirmation,
    progress,
    table,
    when,
)
from hms_svc.cli.root import DONE, INTERRUPTED, NOT_ALL, REFUSED
from hms_svc.cli.session import Session, run, session_of
from hms_svc.domain.errors import BadInput
from hms_svc.domain.plain_text import plain, plural
from hms_svc.operations.action_table import BY_NAME, DECISIONS, ON_JOBS, OperatorAction

if TYPE_CHECKING:
    from hms_svc.domain.views import ActOutcome
    from hms_svc.operations.bulk import BatchReport
    from hms_svc.operations.plan import Choice
    from hms_svc.operations.service import Operations

Ids: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of jobs.", show_default=False)
]
Hold: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="The hold to answer, as jobs show and jobs why print it; required for a job that "
        "was approved before.",
        show_default=False,
    ),
]


def _command(action: OperatorAction) -> Callable[..., None]:
    def command(
        context: typer.Context,
        job_ids: Ids = None,
        where: Where = None,
        note: Reason = "",
        dry_run: DryRun = False,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        requested = _Request(action, job_ids, where, note, None, dry_run, yes, as_json)
        raise typer.Exit(run(lambda: _act(session_of(context), requested)))

    return command


def _decision(action: OperatorAction) -> Callable[..., None]:
    def command(
        context: typer.Context,
        job_ids: Ids = None,
        where: Where = None,
        note: Reason = "",
        hold: Hold = None,
        dry_run: DryRun = False,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        requested = _Request(action, job_ids, where, note, hold, dry_run, yes, as_json)
        raise typer.Exit(run(lambda: _act(session_of(context), requested)))

    return command


def _undo(
    context: typer.Context,
    batch: Annotated[
        str | None, typer.Argument(help="Id of the bulk action; the newest by default.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """By default, undo your own newest action; without a terminal, the newest action of anybody.

    On a terminal, the command first shows who did the action and when, and how many jobs can be restored,
    and asks for confirmation.
    """

    async def work() -> BatchReport | None:
        from hms_svc.cli.interruption import interruptible

        async with session_of(context).operations() as operations:
            chosen = batch
            if needs_confirmation(assume_yes=yes):
                chosen = await _confirm_undo(operations, batch)
                if chosen is None:
                    return None
            with progress("undo", None) as advance, interruptible() as pace:
                return await operations.actions.undo(chosen, progressed=advance, pace=pace)

    report = run(work)
    if report is None:
        hint("nothing was done")
        return
    print_report("undo", BY_NAME["undo"].done, report, as_json)
    if report.failed and not as_json:
        from hms_svc.operations.undo import not_restored_text

        hint(not_restored_text(report.whys))
    raise typer.Exit(code_of(report))


async def _confirm_undo(operations: Operations, batch: str | None) -> str | None:
    """Show what would be undone, and ask for confirmation; return the batch, None if it was declined.

    To confirm undoing another operator's action, their name has to be typed.
    """
    from hms_svc.operations.undo import since_text

    plan = await operations.actions.plan_undo(batch)
    act = plan.act
    hint(f"{act.who}{' (you)' if plan.is_own else ''} {act.text} at {when(act.at)}")
    if act.note:
        hint(f"note: {act.note}")
    hint(f"can be restored: {plan.back:,}")
    for why, number in plan.whys:
        hint(f"cannot: {number:,}: {since_text(why)}")
    if plan.newer is not None:
        newer = plan.newer
        hint(f"newer, and not yours: {newer.who} {newer.text} (jobs undo {newer.batch})")
    if plan.is_own:
        return act.batch if confirmed(BY_NAME["undo"].asked(), assume_yes=False) else None
    name = act.actor or "somebody"
    given = typer.prompt(
        plain(f"this is not your action; type {name} to undo it"),
        default="",
        show_default=False,
        err=True,
    )
    return act.batch if given.strip() == name else None


COMMANDS: Final[Commands] = commands_of(
    {
        **{
            name: (_decision if name in DECISIONS else _command)(action)
            for name, action in ON_JOBS.items()
        },
        "undo": _undo,
    }
)


class _Request:
    """The arguments of an action on jobs."""

    def __init__(
        self,
        action: OperatorAction,
        job_ids: list[str] | None,
        where: str | None,
        note: str,
        hold: str | None,
        dry_run: bool,
        yes: bool,
        as_json: bool,
    ) -> None:
        self.action = action
        self.job_ids = tuple(dict.fromkeys(job_ids or ()))
        if bool(self.job_ids) == (where is not None):
            raise BadInput(f"{action.command} requires either ids or --where EXPR")
        if hold is not None and len(self.job_ids) != 1:
            raise BadInput("--hold requires exactly one id")
        self.where = where or ""
        self.note = note
        self.hold = hold
        self.dry_run = dry_run
        self.yes = yes
        self.as_json = as_json


async def _act(session: Session, requested: _Request) -> int:
    from hms_svc.cli.interruption import interruptible
    from hms_svc.domain.filter import parse_filter
    from hms_svc.ports.control import Act

    act = Act(requested.action.name)
    filter = parse_filter(requested.where)
    if not requested.job_ids and filter.root is None:
        raise BadInput(f"--where is empty: to {act.value} all jobs, name all states")
    async with session.operations(database=not requested.dry_run) as operations:
        actions = operations.actions
        if requested.hold is not None:
            plan = await actions.plan_answer(act, requested.job_ids[0], requested.hold)
        elif requested.job_ids:
            plan = await actions.plan(act, requested.job_ids, unnamed=True)
        else:
            plan = await actions.plan_where(act, filter, unnamed=True)
        if requested.dry_run:
            print_choice(act.value, plan, requested.as_json)
            return DONE
        question = requested.action.asked(plural(len(plan.job_ids), "job"))
        if (
            not requested.job_ids
            and plan.job_ids
            and not confirmed(question, assume_yes=requested.yes)
        ):
            hint("nothing was done")
            return DONE
        with progress(act.value, len(plan.job_ids)) as advance, interruptible() as pace:
            report = await actions.carry_out(
                plan, note=requested.note, progressed=advance, pace=pace
            )
    print_report(act.value, requested.action.done, report, requested.as_json)
    if not requested.as_json and report.done and requested.action.undone_by == "undo":
        hint_at_undo(report)
    return code_of(report)


def hint_at_undo(report: BatchReport) -> None:
    """Print how to undo what was just done."""
    hint(f"to undo it: {BY_NAME['undo'].command_line(report.batch)}")


def code_of(report: BatchReport) -> int:
    """Return the exit code of a bulk action."""
    if report.left:
        return INTERRUPTED
    if not report.failed:
        return DONE
    return NOT_ALL if report.done else REFUSED


def print_choice(verb: str, plan: Choice, as_json: bool) -> None:
    """Print what would be done; nothing was done."""
    if as_json:
        from hms_svc.operations.answers.acts import PlanAnswer
        from hms_svc.operations.plan import Plan

        seen = plan.digest if isinstance(plan, Plan) else ""
        emit(PlanAnswer.of(verb, plan, seen=seen))
        return
    echo(f"would {verb} {plural(len(plan.job_ids), 'job')}; {len(plan.cannot):,} cannot be changed")
    if plan.groups:
        table(
            ("type", "state", "reason", "jobs", "cause", "example"),
            [(g.type, g.state, g.reason, g.count, g.cause, g.example) for g in plan.groups],
            leaving=("example", "cause"),
        )
    _print_failures("cannot be changed", plan.cannot)


def print_report(act: str, done: str, report: BatchReport, as_json: bool) -> None:
    """Print what was done, and which jobs were not changed."""
    if as_json:
        from hms_svc.operations.answers.acts import OutcomeAnswer

        emit(OutcomeAnswer.of(act, report))
        return
    echo(f"{done}: {report.done:,}")
    if report.left:
        hint(f"interrupted: {report.left:,} were not changed")
    _print_failures(f"not {done}", report.failed)


def _print_failures(head: str, failed: Sequence[ActOutcome]) -> None:
    """Print the first hundred jobs that are not changed, and the number of the others."""
    from hms_svc.operations.answers.acts import MOST_FAILURES

    for each in failed[:MOST_FAILURES]:
        hint(f"{head}: {each.job_id}: {each.why}")
    if len(failed) > MOST_FAILURES:
        hint(f"… and {len(failed) - MOST_FAILURES:,} more")
