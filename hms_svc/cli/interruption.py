"""Ctrl-C during a long action: the first ends it between two chunks, the second at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hms_svc.operations.bulk_pace import Pace


@contextmanager
def interruptible() -> Iterator[Pace]:
    """Make the first Ctrl-C end a bulk action after the chunk in progress, and the second at once."""
    pace, loop = Pace(), asyncio.get_running_loop()

    def interrupted() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        pace.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield pace
    finally:
        loop.remove_signal_handler(signal.SIGINT)
