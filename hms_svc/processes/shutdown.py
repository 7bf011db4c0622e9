"""What signals do to a worker, and how its process ends where threads cannot."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Final

from hms_svc.processes.stop_signals import EXIT_INTERRUPTED, Stop, stop_signals
from hms_svc.runtime.worker import Worker

log: Final = logging.getLogger("hms_svc.runtime")
EXIT_HUNG: Final = 71


def leave_now(code: int = 0) -> None:
    """End the process at once: the loop's own clean-up would wait for what cannot be stopped."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def ending_of_hung(worker: Worker) -> None:
    """End the process of a worker that functions still hold on to, which nothing else can end."""
    if worker.is_stuck:
        leave_now(EXIT_HUNG if worker.is_hung else 0)


def stop_on_signals(worker: Worker) -> None:
    """Let the first signal end the worker gracefully, and a later one at once."""
    loop = asyncio.get_running_loop()
    stop = Stop()

    def leave_or_go_on(number: int, _: object) -> None:
        if not stop.reports_to(number):
            os._exit(EXIT_INTERRUPTED)

    def receive(number: int) -> None:
        stop.reports_to(number)
        # Later ones are live by the main thread itself, also while the loop does not turn.
        for each in numbers:
            loop.remove_signal_handler(each)
            signal.signal(each, leave_or_go_on)
        hands = worker.in_flight.unsettled()
        log.info("stopping: %d jobs in hand; another signal leaves at once", hands)
        worker.stop()

    numbers = stop_signals()
    for number in numbers:
        loop.add_signal_handler(number, receive, number)
