"""Delivers committed events from the outbox to the bus, and follow-up jobs to the broker."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Sequence
from typing import Final

import msgspec

from hms_svc.domain import failpoints
from hms_svc.domain.erasure import ERASED
from hms_svc.domain.ids import derived_id
from hms_svc.domain.job import Job
from hms_svc.ports.broker import Acceptance, Enqueued, Producer
from hms_svc.ports.bus import Bus
from hms_svc.ports.stores import OutboxEntry, OutboxStore
from hms_svc.runtime.loop import Service

log: Final = logging.getLogger("hms_svc.runtime")
BATCH: Final = 500
RESTS: Final = 3.0
"""How long the relay rests, as a multiple of how long a round took."""
LONGEST_REST_SECONDS: Final = 0.05


class OutboxRelay(Service):
    """Publishes rows first and marks them afterwards; stable ids make a repetition harmless.

    A follow-up job whose id is taken by another job is enqueued under a derived id. After a
    round it rests, for three times as long as the round took, so that under load a round
    relays what many jobs have committed: each round costs three commits.
    """

    def __init__(self, outbox: OutboxStore, bus: Bus, broker: Producer) -> None:
        super().__init__(interval_seconds=2.0)
        self._outbox = outbox
        self._bus = bus
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self.rest_seconds = 0.0

    async def run_once(self) -> None:
        """Relay until the outbox is empty, and be woken for what producers add in transactions of their own."""
        await self._outbox.listen(self.wake)
        began = self._loop.time()
        while await self._outbox.relay(BATCH, self._deliver) == BATCH:
            pass
        self.rest_seconds = min(RESTS * (self._loop.time() - began), LONGEST_REST_SECONDS)

    async def _sleep(self) -> None:
        if not self._failures:
            await self._rest()
        await super()._sleep()

    async def _rest(self) -> None:
        await asyncio.sleep(self.rest_seconds)

    async def _deliver(self, entries: Sequence[OutboxEntry]) -> None:
        deliveries: list[Awaitable[object]] = []
        if events := [entry.event for entry in entries if entry.event is not None]:
            deliveries.append(self._bus.publish(events))
        if jobs := [entry.job for entry in entries if entry.job is not None]:
            deliveries.append(self._enqueue(jobs))
        await asyncio.gather(*deliveries)
        if failpoints.armed is not None:
            failpoints.reached("relay.published")

    async def _enqueue(self, jobs: Sequence[Job]) -> None:
        answers = await self._broker.enqueue(jobs)
        renamed = [
            _renamed(job)
            for job, answer in zip(jobs, answers, strict=True)
            if _has_id_conflict(job, answer)
        ]
        if renamed:
            await self._broker.enqueue(renamed)


def _has_id_conflict(job: Job, answer: Enqueued) -> bool:
    """Return whether another job has the id. Data erased in the outbox is not another job."""
    return answer.acceptance is Acceptance.CONFLICT and job.data != ERASED


def _renamed(job: Job) -> Job:
    """Return a follow-up job under the id that is derived from its own id and data."""
    id = derived_id("renamed", job.id, job.type, hashlib.sha256(job.data).hexdigest())
    log.warning("the id of follow-up job %s is taken by another job; it gets the id %s", job.id, id)
    return msgspec.structs.replace(job, id=id)
