"""Tells when the work is done: what `serve --drain` waits for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hms_svc.domain.views import QueueView
from hms_svc.ports.clock import Clock
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.stores import Ledger
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.loop import Service
from hms_svc.runtime.settler import Settler

log: Final = logging.getLogger("hms_svc.runtime")
SOON_MS: Final = 60_000


class Drainer(Service):
    """Ends the worker once there is nothing left to do.

    That is: nothing of its types is queued, processing anywhere or retrying,
    intake and outbox are empty, and nothing scheduled is due within a minute.
    Held and paused jobs are reported, not waited for. Before the first claim
    nothing is known of what was pushed for types that the broker has not met.
    """

    def __init__(
        self,
        inspection: Inspection,
        ledger: Ledger,
        types: tuple[str, ...],
        in_flight: InFlight,
        settler: Settler,
        clock: Clock,
        has_checked: Callable[[], bool],
        on_drained: Callable[[], None],
    ) -> None:
        super().__init__(interval_seconds=0.1)
        self._inspection = inspection
        self._ledger = ledger
        self._types = frozenset(types)
        self._in_flight = in_flight
        self._settler = settler
        self._clock = clock
        self._has_checked = has_checked
        self._on_drained = on_drained

    async def run_once(self) -> None:
        """Check once: at the queues, at the outbox, and at the queues again.

        A job of another process may end, and what it put into the outbox become a job, between two looks.
        Where nothing was running at first and no counter has moved since, none has.
        """
        if not self._has_checked() or self._in_flight.unsettled() or self._settler.backlog:
            return
        before = await self._idle_queues()
        if before is None or await self._ledger.outbox(1):
            return
        queues = await self._idle_queues()
        if queues is None or _counters(queues) != _counters(before):
            return
        for queue in queues:
            _report(queue)
        self._on_drained()

    async def _idle_queues(self) -> list[QueueView] | None:
        """Check the queues; None where one of them waits for something."""
        queues = await self._inspection.queues(self._types)
        return None if any(self._waits(queue) for queue in queues) else queues

    def _waits(self, queue: QueueView) -> bool:
        counts = queue.counts
        if counts.processing or counts.intake:
            return True
        if queue.paused:
            return False
        due = queue.next_due_at
        soon = due is not None and due <= self._clock.now_ms() + SOON_MS
        return bool(counts.queued or counts.retrying or soon)


def _counters(queues: Sequence[QueueView]) -> dict[str, Mapping[str, int]]:
    return {queue.type: queue.counters for queue in queues}


def _report(queue: QueueView) -> None:
    counts = queue.counts
    if counts.held:
        log.info("%s: %d held jobs wait for approval", queue.type, counts.held)
    if queue.paused and counts.queued + counts.retrying:
        waiting = counts.queued + counts.retrying
        log.info("%s is paused: %d jobs wait", queue.type, waiting)
