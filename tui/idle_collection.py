"""Full garbage collections of the console's process: while nobody uses it, so that none delays a key."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

IDLE_SECONDS: Final = 1.0
"""How long there has been no input before a full collection runs."""
EVERY_SECONDS: Final = 20.0
"""The time between two full collections."""
LATEST_SECONDS: Final = 60.0
"""After this time one runs even if there is input without a pause, so that memory stays bounded."""
_NEVER: Final = 2**31 - 1


class IdleCollection:
    """Takes full collections over from the interpreter, which would run them in the middle of a key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_input = self._last_collection = clock()
        self._is_running = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Freeze what is loaded, and let the interpreter collect only young objects in the block."""
        thresholds = gc.get_threshold()
        gc.freeze()
        gc.enable()
        gc.set_threshold(*thresholds[:2], _NEVER)
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False
            gc.set_threshold(*thresholds)

    def note_input(self) -> None:
        """Note that a key was pressed, or the mouse used."""
        self._last_input = self._clock()

    def tick(self) -> None:
        """Collect if it is due and there was no input for a while. Call it about once a second."""
        now = self._clock()
        since = now - self._last_collection
        is_idle = now - self._last_input >= IDLE_SECONDS
        is_due = since >= LATEST_SECONDS or (is_idle and since >= EVERY_SECONDS)
        if self._is_running and is_due:
            gc.collect()
            self._last_collection = self._clock()
