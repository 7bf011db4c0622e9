"""Detects when no work is left, for `serve --drain`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hms_svc.domain.views import QueueView
from hms_svc.ports.clock import Clock
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.stores import OutboxStore
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.loop import Service
from hms_svc.runtime.settler import Settler

log: Final = logging.getLogger("hms_svc.runtime")
SOON_MS: Final = 60_000


class Drainer(Service):
    """Ends the worker once there is no work left.

    That is: no job of its types is queued, processing in any worker, or retrying,
    intake and outbox are empty, and no scheduled job is due within a minute.
    Held and paused jobs are logged, not waited for. It waits for the first claim, which
    finds jobs that were pushed for types new to the broker.
    """

    def __init__(
        self,
        inspection: Inspection,
        outbox: OutboxStore,
        types: tuple[str, ...],
        in_flight: InFlight,
        settler: Settler,
        clock: Clock,
        has_checked: Callable[[], bool],
        on_drained: Callable[[], None],
    ) -> None:
        super().__init__(interval_seconds=0.1)
        self._inspection = inspection
        self._outbox = outbox
        self._types = frozenset(types)
        self._in_flight = in_flight
        self._settler = settler
        self._clock = clock
        self._has_checked = has_checked
        self._on_drained = on_drained

    async def run_once(self) -> None:
        """Check once: the queues, the outbox, and the queues again.

        Between two checks a job of another process may end and its follow-up in the outbox become a
        job. If nothing was running at first and no counter has changed since, that did not happen.
        """
        if not self._has_checked() or self._in_flight.unsettled() or self._settler.backlog:
            return
        before = await self._idle_queues()
        if before is None or await self._outbox.waiting(1):
            return
        queues = await self._idle_queues()
        if queues is None or _counters(queues) != _counters(before):
            return
        for queue in queues:
            _report(queue)
        self._on_drained()

    async def _idle_queues(self) -> list[QueueView] | None:
        """Return the queues, or None if one of them has work."""
        queues = await self._inspection.queues(self._types)
        return None if any(self._has_work(queue) for queue in queues) else queues

    def _has_work(self, queue: QueueView) -> bool:
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
        log.info("%s: jobs held for approval: %d", queue.type, counts.held)
    if queue.paused and counts.queued + counts.retrying:
        waiting = counts.queued + counts.retrying
        log.info("%s is paused; jobs waiting: %d", queue.type, waiting)
