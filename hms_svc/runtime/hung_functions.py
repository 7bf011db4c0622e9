"""Functions that run on past the end of their job: named in the log, and told where no slot is left."""

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
_BENEATH: Final = "/hms_svc/runtime/executor.py"
"""What calls each handler."""


class _Hung:
    """When a function was first seen to hang, and when the log next names it."""

    def __init__(self, running: Running, now: float, patience_seconds: float) -> None:
        self.running = running
        self.since = now
        self.say_at = now + patience_seconds


class HungFunctions(Service):
    """Watches functions whose job is settled and that have not returned: each keeps its slot.

    One that has not returned after `hung_seconds` is named in the log with its stack, and again
    every ten minutes. `on_no_slot` is called when such functions hold all slots that their type may
    take of this worker (`slots_of`), or functions of several types all slots that it has; it is told whose.
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
        self._patience_seconds = options.hung_seconds
        self._on_no_slot = on_no_slot
        self._loop = asyncio.get_running_loop()
        self._known: dict[int, _Hung] = {}

    async def run_once(self) -> None:
        """Check once."""
        now = self._loop.time()
        self._known = {
            running.fence: self._known.get(running.fence)
            or _Hung(running, now, self._patience_seconds)
            for running in self._in_flight.hung()
        }
        for hung in self._known.values():
            if now >= hung.say_at:
                _report(hung.running, now - hung.since)
                hung.say_at = now + REPEAT_SECONDS
        long = [each for each in self._known.values() if now - each.since >= self._patience_seconds]
        for type, count in Counter(each.running.job.type for each in long).items():
            if count >= self._slots_of[type]:
                self._on_no_slot(f"all slots that {type} may take")
        if len(long) >= self._slots:
            self._on_no_slot("all slots of this worker")


def _report(running: Running, seconds: float) -> None:
    job = running.job
    log.error(
        "job %s (%s), attempt %d: its function has run on for %.0f s since the job was settled, and "
        "keeps its slot until it returns; it is in %s",
        job.id, job.type, job.attempt, seconds, _stack_of(running), extra=job.log_fields,
    )  # fmt: skip


def _stack_of(running: Running) -> str:
    """Return where the function of a job is, in one line, innermost call first."""
    frame = sys._current_frames().get(running.job.thread)
    calls = _calls_of_task(running.task) if frame is None else traceback.extract_stack(frame)
    ours = [at for at, call in enumerate(calls) if call.filename.endswith(_BENEATH)]
    own = calls[max(ours, default=-1) + 1 :][-MOST_CALLS:]
    places = [f"{call.name} ({call.filename}:{call.lineno})" for call in own]
    return ", called by ".join(reversed(places)) or "a place that cannot be seen"


def _calls_of_task(task: asyncio.Task[None] | None) -> list[traceback.FrameSummary]:
    calls: list[traceback.FrameSummary] = []
    awaited: object = task.get_coro() if task is not None else None
    while isinstance(frame := getattr(awaited, "cr_frame", None), FrameType):
        calls += traceback.extract_stack(frame, limit=1)
        awaited = getattr(awaited, "cr_await", None)
    return calls
