"""Full garbage collections of the console's process: while no key is pressed, so that none delays a key."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Final

IDLE_SECONDS: Final = 1.0
"""How long no key has been pressed before a full collection runs."""
MIN_PENDING: Final = 10
"""A full collection is due after this many of the middle generation, as by Python's own default."""
MAX_PENDING: Final = 60
"""Beyond this many it runs even if keys are pressed without a pause, so that memory stays bounded."""
_NEVER: Final = 2**31 - 1


class IdleCollection:
    """Takes full collections over from the interpreter, which would run them in the middle of a key.

    The first one also freezes what the start has loaded: later ones do not visit it again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_key = clock()
        self._is_frozen = False

    def begin(self) -> None:
        """Freeze what is loaded, and stop full collections by the interpreter; those of young objects go on."""
        gc.freeze()
        gc.enable()
        youngest, middle, _ = gc.get_threshold()
        gc.set_threshold(youngest, middle, _NEVER)

    def pressed(self) -> None:
        """Note that a key was pressed."""
        self._last_key = self._clock()

    def tick(self) -> None:
        """Collect if it is due and no key was pressed for a while. Call it about once a second."""
        pending = gc.get_count()[2]
        is_idle = self._clock() - self._last_key >= IDLE_SECONDS
        if not (pending >= MAX_PENDING or (is_idle and pending >= MIN_PENDING)):
            return
        gc.collect()
        if not self._is_frozen:
            self._is_frozen = True
            gc.freeze()
