"""`hms-svc audit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.options import AsJson, Commands, Cursor, Limit, Reason, Yes
from hms_svc.cli.output import confirmed, echo, emit, hint, table, when
from hms_svc.cli.root import DONE, OUR_FAULT
from hms_svc.cli.session import Session, run, session_of
from hms_svc.operations.action_table import BY_NAME


def list_audit(
    context: typer.Context,
    *,
    subject: Annotated[
        str, typer.Option(help="Only about this job, case, queue or batch:ID.", show_default=False)
    ] = "",
    actor: Annotated[
        str,
        typer.Option(help="Only actions of this actor: ann, worker:*; a leading - excludes it."),
    ] = "",
    action: Annotated[
        str, typer.Option(help="Only this action: job.retry, job.*; a leading - excludes it.")
    ] = "",
    act: Annotated[str, typer.Option(hidden=True, help="The older name of --action.")] = "",
    fold: Annotated[
        bool,
        typer.Option("--fold", help="One row for each bulk action instead of one for each job."),
    ] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List who did what, newest first."""
    wanted = {"subject": subject, "actor": actor, "action": action or act}
    run(lambda: _list(session_of(context), wanted, fold, limit, cursor, as_json))


def verify(context: typer.Context, as_json: AsJson = False) -> None:
    """Verify the hash chain of the audit log.

    It is compared with the heads that the broker keeps. Exit code 1: there is a finding.
    """
    raise typer.Exit(run(lambda: _verify(session_of(context), as_json)))


def _accept(
    context: typer.Context, note: Reason = "", yes: Yes = False, as_json: AsJson = False
) -> None:
    run(lambda: _accept_record(session_of(context), note, yes, as_json))


COMMANDS: Final[Commands] = {
    "list": list_audit,
    "verify": verify,
    **commands_of({"accept": _accept}),
}


async def _list(
    session: Session,
    wanted: Mapping[str, str],
    fold: bool,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    from hms_svc.domain.audit_query import AuditQuery
    from hms_svc.operations.answers.records import AuditRecordAnswer

    query = AuditQuery(**wanted, folded=fold)
    async with session.operations() as operations:
        records = await operations.reads.database.audit.records(query, limit=limit, cursor=cursor)
    if as_json:
        for record in records:
            emit(AuditRecordAnswer.of(record))
    else:
        table(
            ("number", "at", "actor", "action", "subject", "detail"),
            [
                (str(r.number), when(r.at), r.actor, r.action, r.subject, r.detail.decode())
                for r in records
            ],
            leaving=("detail", "at", "actor"),
        )
    if limit and len(records) == limit:
        hint(f"more: --cursor {records[-1].number}")


async def _verify(session: Session, as_json: bool) -> int:
    async with session.operations() as operations:
        faults = await operations.audit.verify()
    if as_json:
        from hms_svc.operations.answers.records import AuditVerification

        emit(AuditVerification(ok=not faults, faults=tuple(faults)))
    elif faults:
        for fault in faults:
            echo(f"link {fault.link}: {fault.fault}: {fault.text}")
    else:
        echo("the chain is intact")
    return OUR_FAULT if faults else DONE


async def _accept_record(session: Session, note: str, yes: bool, as_json: bool) -> None:
    async with session.operations() as operations:
        if not confirmed(BY_NAME["accept"].asked(), assume_yes=yes):
            hint("nothing was done")
            return
        head = await operations.audit.accept(note=note)
    if as_json:
        from hms_svc.operations.answers.records import AuditAccepted

        emit(AuditAccepted(link=head.link, digest=head.digest, signed=bool(head.signature)))
    else:
        echo(f"accepted up to link {head.link}")
