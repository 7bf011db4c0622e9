"""`hms-svc cases`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.options import AsJson, Commands, Cursor, Limit, Reason
from hms_svc.cli.output import echo, emit, facts, hint, pretty, table, when
from hms_svc.cli.session import Session, run, session_of
from hms_svc.operations.action_table import ON_CASES

if TYPE_CHECKING:
    from hms_svc.domain.case import Case

CaseId = Annotated[str, typer.Argument(metavar="ID", help="The id of a case.")]


def list_cases(
    context: typer.Context,
    status: Annotated[
        Literal["open", "closed"] | None,
        typer.Option(help="Only cases with this status.", show_default=False),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only cases of this kind.", show_default=False)
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List cases, newest first."""
    run(lambda: _list(session_of(context), status, kind, limit, cursor, as_json))


def show(context: typer.Context, case_id: CaseId, as_json: AsJson = False) -> None:
    """Show a case."""

    async def work() -> Case:
        async with session_of(context).operations() as operations:
            return await operations.reads.case(case_id)

    _print(run(work), as_json)


def _set_status(status: str) -> Callable[..., None]:
    def command(
        context: typer.Context, case_id: CaseId, note: Reason = "", as_json: AsJson = False
    ) -> None:
        from hms_svc.domain.case import CaseStatus

        async def work() -> Case:
            async with session_of(context).operations() as operations:
                return await operations.actions.set_case_status(
                    case_id, CaseStatus(status), note=note
                )

        _print(run(work), as_json)

    return command


COMMANDS: Final[Commands] = {
    "list": list_cases,
    "show": show,
    **commands_of({action.name: _set_status(status) for status, action in ON_CASES.items()}),
}


async def _list(
    session: Session,
    status: str | None,
    kind: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    from hms_svc.domain.case import CaseStatus

    wanted = CaseStatus(status) if status else None
    async with session.operations() as operations:
        found, more = await operations.reads.database.cases.page(
            status=wanted, kind=kind, limit=limit, cursor=cursor
        )
    if as_json:
        from hms_svc.operations.answers.records import CaseAnswer

        for case in found:
            emit(CaseAnswer.of(case))
    else:
        table(
            ("id", "kind", "lat", "lon", "user", "urgency", "status", "opened", "job"),
            [
                (
                    c.id,
                    c.kind,
                    _degrees(c.lat),
                    _degrees(c.lon),
                    c.user_id or "",
                    "" if c.urgency is None else c.urgency,
                    c.status,
                    when(c.opened_at),
                    c.job_id,
                )
                for c in found
            ],
            leaving=("job", "user", "lat", "lon", "opened", "urgency"),
        )
    if more is not None:
        hint(f"more: --cursor {more}")


def _print(case: Case, as_json: bool) -> None:
    import msgspec

    from hms_svc.operations.answers.records import CaseAnswer

    answer = CaseAnswer.of(case)
    if as_json:
        emit(answer)
        return
    shown = msgspec.to_builtins(answer)
    data = shown.pop("data")
    facts((shown | {"lat": _degrees(case.lat), "lon": _degrees(case.lon)}).items())
    echo("\ndata " + pretty(data))


def _degrees(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
