"""Which signals stop a serving process, and which repeat an earlier one."""

from __future__ import annotations

import signal
import time
from typing import Final

EXIT_INTERRUPTED: Final = 130
SAME_STOP_SECONDS: Final = 1.0
"""A second signal within this time is the same stop, passed on by the parent process."""


class StopRequest:
    """The stop of a process by signals; interrupts from a keyboard count one by one."""

    def __init__(self) -> None:
        self._first = 0
        self._at = 0.0

    def is_first_or_repeated(self, number: int) -> bool:
        """Return whether this signal is the first or repeats it; False means to exit immediately."""
        now = time.monotonic()
        if not self._first:
            self._first, self._at = number, now
            return True
        is_from_keyboard = number == self._first == signal.SIGINT
        return not is_from_keyboard and now - self._at < SAME_STOP_SECONDS


def stop_signals() -> list[signal.Signals]:
    """Return the signals that stop this process, except those it was started to ignore (nohup)."""
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    return [
        number
        for number in numbers
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN
    ]
