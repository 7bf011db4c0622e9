"""`hms-svc batches`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from hms_svc.cli.action_commands import commands_of
from hms_svc.cli.options import AsJson, Commands, Cursor, Limit, Reason, Yes
from hms_svc.cli.output import confirmed, echo, emit, facts, hint, needs_confirmation, table, when
from hms_svc.cli.session import run, session_of
from hms_svc.domain.plain_text import plural
from hms_svc.operations.action_table import BY_NAME

if TYPE_CHECKING:
    from hms_svc.domain.batches import BatchPage, BatchView
    from hms_svc.ports.control import ClosedBatch

BatchId = Annotated[str, typer.Argument(metavar="ID", help="The id of a batch.")]


def list_batches(
    context: typer.Context, limit: Limit = 100, cursor: Cursor = None, as_json: AsJson = False
) -> None:
    """List batches, newest first."""

    async def work() -> BatchPage:
        async with session_of(context).operations(database=False) as operations:
            return await operations.reads.batches(limit=limit, cursor=cursor)

    page = run(work)
    if as_json:
        from hms_svc.operations.answers.batches import BatchAnswer

        for batch in page.batches:
            emit(BatchAnswer.of(batch))
    else:
        table(
            ("id", "state", "ended", "of", "jobs", "created", "by"),
            [
                (b.id, b.state, b.ended, b.total, _states(b), when(b.created_at), b.by)
                for b in page.batches
            ],
            leaving=("by", "created", "jobs"),
        )
    if page.cursor is not None:
        hint(f"more: --cursor {page.cursor}")


def show(context: typer.Context, batch_id: BatchId, as_json: AsJson = False) -> None:
    """Show a batch: how many jobs have ended, and what follows."""

    async def work() -> BatchView:
        async with session_of(context).operations(database=False) as operations:
            return await operations.reads.batch(batch_id)

    batch = run(work)
    if as_json:
        from hms_svc.operations.answers.batches import BatchAnswer

        emit(BatchAnswer.of(batch))
        return
    facts(
        [
            ("id", batch.id),
            ("state", batch.state),
            ("ended", f"{batch.ended:,} of {batch.total:,} jobs"),
            ("jobs", _states(batch)),
            ("continues when all have", batch.when if batch.follow_ups else None),
            ("submitted", when(batch.created_at)),
            ("by", batch.by),
            ("ended at", when(batch.ended_at)),
            ("closed by", batch.closed_by),
            ("not accepted", plural(batch.left_out, "job") if batch.left_out else None),
        ]
    )
    if batch.follow_ups:
        table(
            ("id", "type", "made"),
            [(each.id, each.type, "yes" if each.is_made else "no") for each in batch.follow_ups],
            title="then",
        )
    hint(f"its jobs: hms-svc jobs list --where batch:{batch.id}")


def _close(
    context: typer.Context,
    batch_id: BatchId,
    note: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Use it for a batch whose producer has died. One that submits the rest later gets an error.

    What follows is made when all members that were accepted have ended.
    """

    async def work() -> ClosedBatch | None:
        async with session_of(context).operations() as operations:
            actions = operations.actions
            if needs_confirmation(assume_yes=yes):
                found = await actions.plan_close(batch_id)
                question = BY_NAME["close-batch"].asked(f"{batch_id} {found.accepted_text}")
                if not confirmed(question, assume_yes=False):
                    return None
            return await actions.close_batch(batch_id, note=note)

    closed = run(work)
    if closed is None:
        hint("nothing was done")
    elif as_json:
        from hms_svc.operations.answers.batches import BatchClosedAnswer

        emit(BatchClosedAnswer.of(batch_id, closed))
    else:
        members = plural(closed.accepted, "member")
        echo(f"batch {batch_id} is closed with {members}; not accepted: {closed.left_out:,}")
        hint(f"see what follows: hms-svc batches show {batch_id}")


COMMANDS: Final[Commands] = {
    "list": list_batches,
    "show": show,
    **commands_of({"close-batch": _close}),
}


def _states(batch: BatchView) -> str:
    return ", ".join(f"{number:,} {state}" for state, number in batch.counts.items())
