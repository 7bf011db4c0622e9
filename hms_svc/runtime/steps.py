"""Keeps results of steps and cursors of running jobs, and reads those of earlier attempts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hms_svc.domain.errors import BadInput, LeaseLost
from hms_svc.domain.job import CURSOR, MOST_STEPS_OF_A_JOB, ClaimedJob, LeaseToken
from hms_svc.ports.broker import Broker
from hms_svc.ports.step_results import Kept, StepRecord
from hms_svc.runtime.loop import Service
from hms_svc.sdk.batcher import Batcher


class StepWriter(Service):
    """Writes results at once, those of all jobs together, and cursors a few times a second.

    Implements `sdk.job_steps.StepKeeper`.
    """

    def __init__(self, broker: Broker) -> None:
        super().__init__(interval_seconds=0.2)
        self._broker = broker
        self._results = Batcher(broker.keep_steps)
        self._cursors: dict[LeaseToken, bytes] = {}

    async def keep(self, token: LeaseToken, name: str, value: bytes) -> None:
        """Keep a result durably; raises LeaseLost, and BadInput beyond the number of steps."""
        kept = await self._results.ask(StepRecord(token, name, value))
        if kept is Kept.LOST:
            raise LeaseLost(
                f"job {token.job_id}: step {name!r} is not kept, because the lease is lost"
            )
        if kept is Kept.TOO_MANY:
            raise BadInput(
                f"job {token.job_id}: step {name!r} is one too many: {MOST_STEPS_OF_A_JOB} are kept"
            )

    def keep_cursor(self, token: LeaseToken, value: bytes) -> None:
        """Keep a cursor with the next round; may be called from any thread."""
        self._cursors[token] = value

    async def run_once(self) -> None:
        """Write the latest cursors."""
        if not self._cursors:
            return
        cursors, self._cursors = self._cursors, {}
        records = [StepRecord(token, CURSOR, value) for token, value in cursors.items()]
        await self._broker.keep_steps(records)


async def with_steps(broker: Broker, claimed: Sequence[ClaimedJob]) -> list[ClaimedJob]:
    """Return jobs that were claimed before with the steps of their earlier attempts."""
    found = await broker.steps_of([job.token.job_id for job in claimed])
    return [
        msgspec.structs.replace(job, steps=steps) if steps else job
        for job, steps in zip(claimed, found, strict=True)
    ]
