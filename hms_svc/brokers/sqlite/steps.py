"""Results of steps, and cursors, of running jobs."""

from __future__ import annotations

from collections.abc import Sequence

from hms_svc.brokers.limits import MOST_STEPS
from hms_svc.brokers.sqlite.transaction import SQL, FileTransaction
from hms_svc.ports.step_results import Kept, StepRecord


def keep_steps(transaction: FileTransaction, steps: Sequence[StepRecord]) -> list[Kept]:
    """Keep what is still owned; see `Broker.keep_steps`."""
    return [_keep(transaction, step) for step in steps]


def _keep(transaction: FileTransaction, step: StepRecord) -> Kept:
    execute, row = transaction.connection.execute, step.token.locator
    if not execute(SQL["owned"], (row, step.token.fence)).fetchone():
        return Kept.LOST
    [others] = execute(SQL["other_steps"], (row, step.name)).fetchone()
    if others >= MOST_STEPS:
        return Kept.TOO_MANY
    execute(SQL["keep_step"], (row, step.name, step.value))
    return Kept.YES
