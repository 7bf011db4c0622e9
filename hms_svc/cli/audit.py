"""`hms-svc audit`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from hms_svc.cli.options import AsJson, Commands, Cursor, Limit
from hms_svc.cli.printing import emit, hint, say, table, when
from hms_svc.cli.root import DONE, OUR_FAULT
from hms_svc.cli.session import Session, run, session_of


def list_audit(
    context: typer.Context,
    subject: Annotated[
        str | None, typer.Option(help="Only about this job, case or queue.", show_default=False)
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List who did what, newest first."""
    run(lambda: _list(session_of(context), subject, limit, cursor, as_json))


def verify(context: typer.Context, as_json: AsJson = False) -> None:
    """Walk the hash chain: find changed, missing and truncated rows."""
    raise typer.Exit(run(lambda: _verify(session_of(context), as_json)))


COMMANDS: Final[Commands] = {"list": list_audit, "verify": verify}


async def _list(
    session: Session, subject: str | None, limit: int, cursor: str | None, as_json: bool
) -> None:
    from hms_svc.operations.shapes import audit_shape

    async with session.operations() as operations:
        records = await operations.reads.audit(limit=limit, cursor=cursor, subject=subject)
    if as_json:
        for record in records:
            emit(audit_shape(record))
    else:
        table(
            ("number", "at", "actor", "action", "subject", "detail"),
            [
                (str(r.number), when(r.at), r.actor, r.action, r.subject, r.detail.decode())
                for r in records
            ],
        )
    if limit and len(records) == limit:
        hint(f"more: --cursor {records[-1].number}")


async def _verify(session: Session, as_json: bool) -> int:
    async with session.operations() as operations:
        faults = await operations.reads.verify_audit()
    if as_json:
        emit({"ok": not faults, "faults": [{"link": f.link, "fault": f.fault} for f in faults]})
    elif faults:
        for fault in faults:
            say(f"link {fault.link}: {fault.fault}")
    else:
        say("the chain holds")
    return OUR_FAULT if faults else DONE
