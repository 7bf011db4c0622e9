"""`hms-svc schedules`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from hms_svc.cli.options import AsJson, Commands, Note, TypeName
from hms_svc.cli.printing import emit, say, table
from hms_svc.cli.session import run, session_of

if TYPE_CHECKING:
    from hms_svc.operations.schedules import ScheduleView

COLUMNS: Final = ("type", "cron", "in words", "next", "last", "last ended as")


def list_schedules(context: typer.Context, as_json: AsJson = False) -> None:
    """List the schedules of live workers, with their next and last ticks."""

    async def work() -> list[ScheduleView]:
        async with session_of(context).operations(database=False) as operations:
            return await operations.schedules.all()

    shapes = [_shape(view) for view in run(work)]
    if as_json:
        for shape in shapes:
            emit(shape)
        return
    names = ("type", "cron", "words", "next_at", "last_at", "last_state")
    table(COLUMNS, [[shape[name] or "" for name in names] for shape in shapes])


def run_now(
    context: typer.Context, type_name: TypeName, note: Note = "", as_json: AsJson = False
) -> None:
    """Run a type's scheduled job once, now; its ticks come nevertheless."""

    async def work() -> str:
        async with session_of(context).operations() as operations:
            [answer] = (await operations.schedules.run(type_name, note=note)).answers
            return answer.job_id

    job_id = run(work)
    if as_json:
        emit({"type": type_name, "id": job_id})
    else:
        say(f"{type_name}: job {job_id}")


COMMANDS: Final[Commands] = {"list": list_schedules, "run": run_now}


def _shape(view: ScheduleView) -> dict[str, Any]:
    from hms_svc.domain.timestamps import to_rfc3339

    return {
        "type": view.type,
        "cron": view.cron,
        "words": view.words,
        "next_at": to_rfc3339(view.next_at),
        "next_job": view.next_job,
        "next_state": view.next_state.value if view.next_state else None,
        "last_at": to_rfc3339(view.last_at),
        "last_job": view.last_job,
        "last_state": view.last_state.value if view.last_state else None,
    }
