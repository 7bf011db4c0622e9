"""`hms-svc workers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.options import AsJson, Commands, DryRun, Yes
from hms_svc.cli.output import confirmed, echo, emit, hint, table
from hms_svc.cli.session import Session, run, session_of
from hms_svc.operations.action_table import ON_WORKERS, OperatorAction

if TYPE_CHECKING:
    from hms_svc.domain.views import WorkerView

WorkerId: TypeAlias = Annotated[
    str, typer.Argument(metavar="ID", help="The id of a worker, as workers list shows it.")
]
WorkerReason: TypeAlias = Annotated[
    str, typer.Option(help="Reason; shown wherever the worker is, and kept in the audit log.")
]
WORKER_COLUMNS = (
    "worker",
    "host",
    "pid",
    "busy",
    "slots",
    "lane",
    "state",
    "types",
    "seen s ago",
)
WORKERS_LEAVING = ("lane", "pid", "host", "types", "slots", "seen s ago", "busy")


def list_workers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the live workers and the jobs that they run."""
    run(lambda: _list(session_of(context), as_json))


def _request(state: str, action: OperatorAction) -> Callable[..., None]:
    def command(
        context: typer.Context,
        worker_id: WorkerId,
        reason: WorkerReason = "",
        dry_run: DryRun = False,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        from hms_svc.domain.views import WorkerState
        from hms_svc.operations.answers.service import WorkerPlanAnswer, WorkerStateRequested

        wanted, question = WorkerState(state), action.asked(worker_id)

        async def work() -> bool:
            async with session_of(context).operations() as operations:
                plan = await operations.actions.plan_worker(worker_id, wanted)
                if dry_run and as_json:
                    emit(WorkerPlanAnswer.of(plan))
                    return False
                for each in plan.lines:
                    hint(each)
                if dry_run or not confirmed(question, assume_yes=yes):
                    hint("nothing was done")
                    return False
                await operations.actions.ask_worker(worker_id, wanted, reason=reason)
                return True

        if not run(work):
            return
        if as_json:
            emit(WorkerStateRequested(worker=worker_id, wanted=wanted))
        else:
            echo(f"requested: {worker_id} to be {wanted}; hms-svc workers list shows when it is")

    return command


COMMANDS: Final[Commands] = {
    "list": list_workers,
    **commands_of({action.name: _request(state, action) for state, action in ON_WORKERS.items()}),
}


def busy_text(worker: WorkerView) -> str:
    """Return how many slots are busy, and how many of those with functions that do not return."""
    return f"{worker.busy} ({worker.hung} hung)" if worker.hung else str(worker.busy)


def worker_rows(seen: tuple[WorkerView, ...] | list[WorkerView], now_ms: int) -> list[list[object]]:
    """Return the rows of the table of workers."""
    from hms_svc.operations.explanation import request_text

    return [
        [
            each.id,
            each.host,
            str(each.pid),
            busy_text(each),
            each.slots,
            each.lane,
            "; ".join(filter(None, (each.state, request_text(each, now_ms)))),
            ", ".join(each.types),
            max(now_ms - each.last_seen_at, 0) / 1000,
        ]
        for each in seen
    ]


async def _list(session: Session, as_json: bool) -> None:
    from hms_svc.operations.answers.service import WorkerAnswer

    async with session.operations(database=False) as operations:
        found = await operations.reads.workers()
        now = operations.reads.now_ms()
    if as_json:
        for worker in found:
            emit(WorkerAnswer.of(worker, now))
    else:
        table(WORKER_COLUMNS, worker_rows(found, now), leaving=WORKERS_LEAVING)
