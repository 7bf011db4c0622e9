"""How a worker stops on signals, and how its process exits if threads cannot be stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Final

from hms_svc.processes.stop_signals import EXIT_INTERRUPTED, StopRequest, stop_signals
from hms_svc.runtime.worker import Worker

log: Final = logging.getLogger("hms_svc.runtime")
EXIT_HUNG: Final = 71


def leave_now(code: int = 0) -> None:
    """Exit immediately: the clean-up of the loop would wait for threads that cannot be stopped."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def leave_if_stuck(worker: Worker) -> None:
    """Exit if the worker has functions that still run and that only the end of the process can stop."""
    if worker.is_stuck:
        leave_now(EXIT_HUNG if worker.is_hung else 0)


def stop_on_signals(worker: Worker) -> None:
    """Stop the worker gracefully on the first signal, and exit immediately on a later one."""
    loop = asyncio.get_running_loop()
    stop = StopRequest()

    def leave_or_go_on(number: int, _: object) -> None:
        if not stop.is_first_or_repeated(number):
            os._exit(EXIT_INTERRUPTED)

    def receive(number: int) -> None:
        stop.is_first_or_repeated(number)
        # The main thread itself handles later signals: a blocked loop cannot delay them.
        for stop_signal in numbers:
            loop.remove_signal_handler(stop_signal)
            signal.signal(stop_signal, leave_or_go_on)
        running = worker.in_flight.unsettled()
        log.info(
            "stopping: received %s; jobs running: %d; another signal exits immediately",
            signal.Signals(number).name,
            running,
        )
        worker.stop()

    numbers = stop_signals()
    for number in numbers:
        loop.add_signal_handler(number, receive, number)
