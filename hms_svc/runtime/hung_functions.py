"""Detects functions that still run after their job was settled, and reports when no slot is left."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Final

from hms_svc.runtime.in_flight import InFlight, Running
from hms_svc.runtime.loop import Service
from hms_svc.runtime.worker_options import WorkerOptions

log: Final = logging.getLogger("hms_svc.runtime")
CHECK_SECONDS: Final = 1.0
REPEAT_SECONDS: Final = 600.0
MOST_CALLS: Final = 12
_CALLER: Final = "/hms_svc/runtime/executor.py"
"""The file whose functions call each handler."""


class _Hung:
    """A hung function: when it was first seen, and when to log it next."""

    def __init__(self, running: Running, now: float, hung_seconds: float) -> None:
        self.running = running
        self.since = now
        self.log_at = now + hung_seconds


class HungFunctions(Service):
    """Tracks functions that have not returned although their job is settled: each keeps its slot.

    One that has not returned after `hung_seconds` is logged with its stack, and again every ten
    minutes. `on_no_slot` is called with a description of the slots when such functions hold all
    slots that their type may take in this worker (`slots_of`), or all slots of the worker.
    """

    def __init__(
        self,
        in_flight: InFlight,
        options: WorkerOptions,
        slots_of: Mapping[str, int],
        on_no_slot: Callable[[str], None],
    ) -> None:
        super().__init__(interval_seconds=min(CHECK_SECONDS, options.hung_seconds / 4))
        self._in_flight = in_flight
        self._slots = options.slots
        self._slots_of = slots_of
        self._hung_seconds = options.hung_seconds
        self._on_no_slot = on_no_slot
        self._loop = asyncio.get_running_loop()
        self._known: dict[int, _Hung] = {}

    async def run_once(self) -> None:
        """Check once."""
        now = self._loop.time()
        self._known = {
            running.fence: self._known.get(running.fence) or _Hung(running, now, self._hung_seconds)
            for running in self._in_flight.hung()
        }
        for hung in self._known.values():
            if now >= hung.log_at:
                _report(hung.running, now - hung.since)
                hung.log_at = now + REPEAT_SECONDS
        overdue = [each for each in self._known.values() if now - each.since >= self._hung_seconds]
        for type, count in Counter(each.running.job.type for each in overdue).items():
            if count >= self._slots_of[type]:
                self._on_no_slot(f"all slots that {type} may take")
        if len(overdue) >= self._slots:
            self._on_no_slot("all slots of this worker")


def _report(running: Running, seconds: float) -> None:
    job = running.job
    log.error(
        "job %s (%s), attempt %d: its function still runs %.0f s after the job was settled and "
        "keeps its slot until it returns; it is in %s",
        job.id,
        job.type,
        job.attempt,
        seconds,
        _stack_of(running),
        extra=job.log_fields,
    )


def _stack_of(running: Running) -> str:
    """Return the stack of a job's function in one line, innermost call first."""
    frame = sys._current_frames().get(running.job.thread)
    calls = _calls_of_task(running.task) if frame is None else traceback.extract_stack(frame)
    callers = [at for at, call in enumerate(calls) if call.filename.endswith(_CALLER)]
    own = calls[max(callers, default=-1) + 1 :][-MOST_CALLS:]
    places = [f"{call.name} ({call.filename}:{call.lineno})" for call in own]
    return ", called by ".join(reversed(places)) or "unknown code (no stack available)"


def _calls_of_task(task: asyncio.Task[None] | None) -> list[traceback.FrameSummary]:
    calls: list[traceback.FrameSummary] = []
    awaited: object = task.get_coro() if task is not None else None
    while isinstance(frame := getattr(awaited, "cr_frame", None), FrameType):
        calls += traceback.extract_stack(frame, limit=1)
        awaited = getattr(awaited, "cr_await", None)
    return calls
