"""What signals do to a worker."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Final

from hms_svc.runtime.worker import Worker

log: Final = logging.getLogger("hms_svc.runtime")
EXIT_INTERRUPTED: Final = 130
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def leave_now() -> None:
    """End the process at once: the loop's own clean-up would wait for what cannot be stopped."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def stop_on_signals(worker: Worker) -> None:
    """Let the first signal end the worker gracefully, and a second one at once."""
    loop = asyncio.get_running_loop()

    def hear() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, lambda *_: os._exit(EXIT_INTERRUPTED))
        hands = worker.in_flight.unsettled()
        log.info("stopping: %d jobs in hand; a second signal leaves at once", hands)
        worker.stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, hear)
