"""The transaction of a producer, written once for both forms of `sql.transaction`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from hms_svc.api.portal import Portal, portal
from hms_svc.domain.errors import BadInput, HandlerExited
from hms_svc.sdk.running_job import find_job

log: Final = logging.getLogger("hms_svc.api")
RELAY_SECONDS: Final = 2.0
"""How long a producer delivers its own jobs: by then a worker looks for them, too."""


def check_producer() -> None:
    """Raise BadInput inside a job, which has its own form, and TransactionError inside a transaction."""
    from hms_svc.sdk.effects import refuse_in_transaction

    refuse_in_transaction("sql.transaction")
    if (job := find_job()) is not None:
        raise BadInput(
            f"sql.transaction: job {job.id} is running here, and may run again: await job.transaction(write), "
            "or call dao.transaction(write) in a plain handler, which commits once for the job"
        )


@contextmanager
def leaving() -> Iterator[None]:
    """Raise the SystemExit or KeyboardInterrupt of `write` where its caller is: the portal's loop would end with it."""
    try:
        yield
    except HandlerExited as exited:
        raise exited.error or exited from None


async def transaction(write: Callable[[Any], Any]) -> Any:
    """Run `write` in one transaction, on the loop of the portal, and deliver its jobs if no worker is notified."""
    from hms_svc.sdk.transactions import MOST_SECONDS, ProducerRun
    from hms_svc.sdk.uncancelled import to_the_end

    here = portal()
    database = await here.open_database()
    run = ProducerRun(write, here.clock)
    committing = database.transactions.run(run.write, seconds=MOST_SECONDS)
    is_waiting, cancelled = await to_the_end(committing, run.stop)
    if cancelled:
        raise asyncio.CancelledError
    if is_waiting:
        await _deliver(here)
    return run.value


async def _deliver(here: Portal) -> None:
    """Relay the outbox; a failure is logged only: all is committed, and a worker delivers it."""
    from hms_svc.runtime.outbox_relay import OutboxRelay

    try:
        async with asyncio.timeout(RELAY_SECONDS), here.delivering:
            backend, database = await here.backend(), await here.open_database()
            await OutboxRelay(database.outbox, backend.bus, backend.broker).run_once()
    except Exception as error:  # noqa: BLE001 - the caller's transaction is committed, whatever it is
        reason = str(error) or f"not within {RELAY_SECONDS:g} s"
        log.warning("a transaction is committed, and a worker will deliver its jobs: %s", reason)
