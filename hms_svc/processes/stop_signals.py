"""Which signals stop a process that serves, and which are one stop told twice."""

from __future__ import annotations

import signal
import time
from typing import Final

EXIT_INTERRUPTED: Final = 130
SAME_STOP_SECONDS: Final = 1.0
"""Within this a second signal tells the same stop: a group is told, and its parent passes it on."""


class Stop:
    """The stop of a process, as signals tell it; interrupts from a keyboard count one by one."""

    def __init__(self) -> None:
        self._first = 0
        self._at = 0.0

    def reports_to(self, number: int) -> bool:
        """Return whether this signal is the first, or repeats it; False means: leave at once."""
        now = time.monotonic()
        if not self._first:
            self._first, self._at = number, now
            return True
        by_hand = number == self._first == signal.SIGINT
        return not by_hand and now - self._at < SAME_STOP_SECONDS


def stop_signals() -> list[signal.Signals]:
    """Return the signals that stop this process: not those that it was started to ignore (nohup)."""
    wanted = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    return [
        number
        for number in wanted
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN
    ]
