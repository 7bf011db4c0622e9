"""`hms-svc batches`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from hms_svc.cli.options import AsJson, Commands, Cursor, Limit
from hms_svc.cli.output import emit, facts, hint, table, when
from hms_svc.cli.session import run, session_of

if TYPE_CHECKING:
    from hms_svc.domain.batches import BatchPage, BatchView

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
        ]
    )
    if batch.follow_ups:
        table(
            ("id", "type", "made"),
            [(each.id, each.type, "yes" if each.is_made else "no") for each in batch.follow_ups],
            title="then",
        )
    hint(f"its jobs: hms-svc jobs list --where batch:{batch.id}")


COMMANDS: Final[Commands] = {"list": list_batches, "show": show}


def _states(batch: BatchView) -> str:
    return ", ".join(f"{number:,} {state}" for state, number in batch.counts.items())
