"""`hms-svc jobs erase`: permanently blank the personal data of jobs."""

from __future__ import annotations

from typing import Final

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.jobs_act import Ids, code_of, print_choice, print_report
from hms_svc.cli.options import AsJson, Commands, DryRun, Reason, Where, Yes
from hms_svc.cli.output import confirmed, hint, progress
from hms_svc.cli.root import DONE
from hms_svc.cli.session import Session, run, session_of
from hms_svc.domain.errors import BadInput
from hms_svc.domain.plain_text import plural
from hms_svc.operations.action_table import BY_NAME


def _erase(
    context: typer.Context,
    job_ids: Ids = None,
    where: Where = None,
    note: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Blank the data in the broker, the archive, the cases and the outbox."""
    ids = tuple(dict.fromkeys(job_ids or ()))
    if bool(ids) == (where is not None):
        raise BadInput("jobs erase requires either ids or --where EXPR")
    session = session_of(context)
    raise typer.Exit(
        run(lambda: _erase_chosen(session, ids, where or "", note, dry_run, yes, as_json))
    )


COMMANDS: Final[Commands] = commands_of({"erase": _erase})


async def _erase_chosen(
    session: Session,
    job_ids: tuple[str, ...],
    where: str,
    note: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    from hms_svc.cli.interruption import interruptible
    from hms_svc.domain.filter import parse_filter

    wanted = parse_filter(where)
    if not job_ids and wanted.root is None:
        raise BadInput("--where is empty: to erase all jobs, name all states")
    async with session.operations() as operations:
        actions = operations.actions
        if job_ids:
            choice = await actions.plan_erase(job_ids)
        else:
            choice = await actions.plan_erase_where(wanted)
        if dry_run:
            print_choice("erase", await actions.foresee(choice), as_json)
            return DONE
        question = BY_NAME["erase"].asked(plural(len(choice.job_ids), "job"))
        if choice.job_ids and not confirmed(question, assume_yes=yes):
            hint("nothing was done")
            return DONE
        with progress("erase", len(choice.job_ids)) as advance, interruptible() as pace:
            report = await actions.erase(choice, note=note, progressed=advance, pace=pace)
    print_report("erase", BY_NAME["erase"].done, report, as_json)
    return code_of(report)
