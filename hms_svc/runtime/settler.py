"""Collects the settlements of jobs, and writes many at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from hms_svc.domain import failpoints
from hms_svc.domain.errors import BrokerUnavailable, Outage
from hms_svc.domain.job import LeaseToken
from hms_svc.domain.lifecycle import REASON_ERROR, State, Trigger
from hms_svc.domain.outcome import Disposition, Failure, RetryLater
from hms_svc.ports.broker import Broker, Settlement
from hms_svc.ports.meters import UNMETERED, Meter
from hms_svc.runtime.loop import Service
from hms_svc.runtime.progress import ProgressWriter
from hms_svc.runtime.steps import StepWriter
from hms_svc.sdk.storable_text import writable

log: Final = logging.getLogger("hms_svc.runtime")
MOST_AT_ONCE: Final = 500
RETRY_LATER: Final = RetryLater.__name__
MOST_DETAIL_CHARACTERS: Final = 300
FAILURES: Final = frozenset({State.DEAD, State.RETRYING})


class Settler(Service):
    """Runs one settle at a time; jobs that finish meanwhile are written with the next one."""

    def __init__(
        self,
        broker: Broker,
        progress: ProgressWriter,
        steps: StepWriter,
        meter: Meter = UNMETERED,
    ) -> None:
        super().__init__(interval_seconds=60.0)
        self._broker = broker
        self._progress = progress
        self._steps = steps
        self._meter = meter
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Settlement] = []
        self._errors: dict[int, BaseException] = {}
        self._settled_before = 0
        self.refused = 0

    @property
    def backlog(self) -> int:
        """The number of settlements that are not written yet."""
        return len(self._waiting)

    @property
    def waiting(self) -> tuple[Settlement, ...]:
        """The settlements that are not written yet."""
        return tuple(self._waiting)

    def add(self, settlement: Settlement, error: BaseException | None = None) -> None:
        """Add one settlement; the error that failed the attempt is logged with it."""
        self._waiting.append(settlement)
        if error is not None:
            self._errors[settlement.token.fence] = error
        if len(self._waiting) == 1:  # the round that writes it writes all that follow it
            self._wake.set()

    async def run_once(self) -> None:
        """Write the collected settlements, progress first; on an outage they are kept."""
        while self._waiting:
            batch = self._waiting[:MOST_AT_ONCE]
            await self._write_progress()
            began = self._loop.time()
            if failpoints.armed is not None:
                failpoints.reached("settle.before")
            refused = await self._settle(batch)
            if failpoints.armed is not None:
                failpoints.reached("settle.after")
            self._meter.settled(batch, refused, self._loop.time() - began)
            del self._waiting[: len(batch)]
            self.refused += len(refused)
            fences = {token.fence for token in refused}
            for settled in batch:
                error = self._errors.pop(settled.token.fence, None)
                if settled.token.fence in fences:
                    message = "job %s: not settled, because its lease was lost"
                    log.warning(message, settled.token.job_id, extra=settled.log_fields)
                elif settled.disposition.state in FAILURES:
                    _log_failure(settled, error)

    async def _settle(self, batch: list[Settlement]) -> list[LeaseToken]:
        """Settle a batch; if one of its settlements raises, settle them one by one.

        A settlement that cannot be written is replaced by one with that error.
        """
        try:
            return await self._broker.settle(batch)
        except Outage:
            raise
        except Exception:
            log.exception("a batch of %d settlements failed; settling them one by one", len(batch))
        refused = []
        for settlement in batch:
            try:
                refused += await self._broker.settle([settlement])
            except Outage:
                raise
            except Exception as error:  # noqa: BLE001 - _settle_as_broken logs it
                refused += await self._settle_as_broken(settlement, error)
        return refused

    async def _settle_as_broken(self, broken: Settlement, error: Exception) -> list[LeaseToken]:
        """End a job whose outcome the broker cannot write with that error.

        If that fails too, the job's lease expires and the reaper recovers it.
        """
        job_id, fields = broken.token.job_id, broken.log_fields
        log.error("job %s: its outcome cannot be written", job_id, exc_info=error, extra=fields)
        try:
            return await self._broker.settle([_instead_of(broken, error)])
        except Outage:
            raise
        except Exception:
            log.exception("job %s cannot be settled", job_id, extra=fields)
            return []

    async def _write_progress(self) -> None:
        try:
            await self._progress.run_once()
            await self._steps.run_once()
        except Outage:
            raise
        except Exception:
            log.exception("the progress and the cursors of jobs cannot be written and are dropped")

    async def flush(self) -> None:
        """Write the remaining settlements, once, after the loop has ended."""
        try:
            await self.run_once()
        except BrokerUnavailable as error:
            log.warning("settlements not written: %d; %s", len(self._waiting), error)


def _log_failure(settled: Settlement, error: BaseException | None) -> None:
    """Log a dead job as an error, and an attempt that will be retried as a warning, with its exception.

    A retry that the handler asked for is logged at the debug level.
    """
    done, job_id = settled.disposition, settled.token.job_id
    detail = done.detail[:MOST_DETAIL_CHARACTERS]
    arguments = (job_id, settled.type, settled.attempt, done.reason, detail)
    if done.state is State.DEAD:
        message = "job %s (%s) is dead after attempt %d, %s: %s"
        log.error(message, *arguments, exc_info=error, extra=settled.log_fields)
    else:
        is_asked = error is None and done.failure is not None and done.failure.kind == RETRY_LATER
        level = logging.DEBUG if is_asked else logging.WARNING
        message = "job %s (%s): attempt %d failed, %s: %s"
        log.log(level, message, *arguments, exc_info=error, extra=settled.log_fields)


def _instead_of(broken: Settlement, error: Exception) -> Settlement:
    """Return the settlement that ends a job as dead because its own cannot be written."""
    kind = type(error).__name__
    message = f"the outcome cannot be written: {kind}: {writable(error)[:2000]}"
    dead = Disposition(
        state=State.DEAD,
        trigger=Trigger.FAILED,
        reason=REASON_ERROR,
        by="runtime",
        detail=message,
        failure=Failure(kind, message),
        case_id=broken.disposition.case_id,
        uncertain=broken.disposition.uncertain,
    )
    return msgspec.structs.replace(broken, disposition=dead)
