"""Ctrl-C during a long action: the first ends it between two chunks, the second at once. Other signals like it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hms_svc.operations.bulk_pace import Pace


def end_as_by_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP end the command as Ctrl-C does: what it has started stops, its data is removed.

    Also where Ctrl-C itself is ignored, as in what a shell script starts with `&`.
    """

    def end(*_: object) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


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
