"""`hms-svc schedules`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.options import AsJson, Commands, Reason, TypeName
from hms_svc.cli.output import echo, emit, table
from hms_svc.cli.session import run, session_of

if TYPE_CHECKING:
    from hms_svc.operations.answers.schedules import ScheduleAnswer
    from hms_svc.operations.schedules import ScheduleView

COLUMNS: Final = ("type", "cron", "description", "next", "last", "last job is", "skipped")


def list_schedules(context: typer.Context, as_json: AsJson = False) -> None:
    """List the schedules of live workers.

    Each has its next and its last run, and the number of runs that were skipped.
    """

    async def work() -> list[ScheduleView]:
        async with session_of(context).operations(database=False) as operations:
            return await operations.schedules.all()

    from hms_svc.operations.answers.schedules import ScheduleAnswer

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
                _next_text(each),
                each.last_at or "",
                each.last_state or "",
                f"{each.skipped}, the last {each.skip_reason}" if each.skipped else "",
            ]
            for each in found
        ],
    )


def _next_text(schedule: ScheduleAnswer) -> str:
    if not schedule.paused:
        return schedule.next_at
    reason = f": {schedule.pause_reason}" if schedule.pause_reason else ""
    return f"paused by {schedule.paused_by}{reason}"


def _run_now(
    context: typer.Context, type_name: TypeName, note: Reason = "", as_json: AsJson = False
) -> None:
    async def work() -> str:
        async with session_of(context).operations() as operations:
            return await operations.schedules.run(type_name, note=note)

    job_id = run(work)
    if as_json:
        from hms_svc.operations.answers.schedules import ScheduleRun

        emit(ScheduleRun(type=type_name, id=job_id, enqueued=1))
    else:
        echo(f"{type_name}: job {job_id}")


def _pause(
    context: typer.Context,
    type_name: TypeName,
    reason: Annotated[str, typer.Option(help="Reason; shown wherever the schedule is.")] = "",
    as_json: AsJson = False,
) -> None:
    async def work() -> None:
        async with session_of(context).operations() as operations:
            await operations.schedules.pause(type_name, reason=reason)

    run(work)
    _report(type_name, paused=True, as_json=as_json)


def _resume(context: typer.Context, type_name: TypeName, as_json: AsJson = False) -> None:
    async def work() -> None:
        async with session_of(context).operations() as operations:
            await operations.schedules.resume(type_name)

    run(work)
    _report(type_name, paused=False, as_json=as_json)


def _report(type_name: str, *, paused: bool, as_json: bool) -> None:
    if as_json:
        from hms_svc.operations.answers.schedules import SchedulePaused

        emit(SchedulePaused(type=type_name, paused=paused))
    else:
        echo(f"the schedule of {type_name} is {'paused' if paused else 'resumed'}")


COMMANDS: Final[Commands] = {
    "list": list_schedules,
    **commands_of({"run-now": _run_now, "pause-schedule": _pause, "resume-schedule": _resume}),
}
