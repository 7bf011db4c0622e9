"""`hms-svc schedules`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.options import AsJson, Commands, Note, TypeName
from hms_svc.cli.output import echo, emit, table
from hms_svc.cli.session import run, session_of

if TYPE_CHECKING:
    from hms_svc.operations.schedules import ScheduleView

COLUMNS: Final = ("type", "cron", "description", "next", "last", "last ended as")


def list_schedules(context: typer.Context, as_json: AsJson = False) -> None:
    """List the schedules of live workers, with their next and last ticks."""

    async def work() -> list[ScheduleView]:
        async with session_of(context).operations(database=False) as operations:
            return await operations.schedules.all()

    from hms_svc.operations.answers.service import ScheduleAnswer

    found = [ScheduleAnswer.of(view) for view in run(work)]
    if as_json:
        for each in found:
            emit(each)
        return
    table(
        COLUMNS,
        [
            [
                each.type,
                each.cron,
                each.description,
                each.next_at,
                each.last_at,
                each.last_state or "",
            ]
            for each in found
        ],
    )


def _run_now(
    context: typer.Context, type_name: TypeName, note: Note = "", as_json: AsJson = False
) -> None:
    async def work() -> str:
        async with session_of(context).operations() as operations:
            [answer] = (await operations.schedules.run(type_name, note=note)).answers
            return answer.job_id

    job_id = run(work)
    if as_json:
        from hms_svc.operations.answers.service import ScheduleRun

        emit(ScheduleRun(type=type_name, id=job_id, enqueued=1))
    else:
        echo(f"{type_name}: job {job_id}")


COMMANDS: Final[Commands] = {
    "list": list_schedules,
    **commands_of({"run-now": _run_now}),
}
