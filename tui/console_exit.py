"""Leaving the console for good, once running jobs have ended; and for a while, to the shell."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Final

from textual.widgets import TextArea

from hms_svc.domain.plain_text import plural

if TYPE_CHECKING:
    from hms_svc.tui.host import ConsoleHost

SWITCHED: Final = -1
"""What a console gives that is left for the one of another context."""
DEFAULT: Final = "default"
"""The name of the installation that the console was started for."""
SURE_SECONDS: Final = 8.0
"""For how long the same key again means that it was read what it does."""


class ConsoleExit:
    """Ends the console, or hands the terminal back to the shell until `fg`."""

    def __init__(self, console: ConsoleHost) -> None:
        self._console = console
        self._times = 0
        self._warned_at = -SURE_SECONDS

    def leave(self) -> None:
        """Leave once the running jobs have finished; the second time at once."""
        self._times += 1
        console = self._console
        workforce = console.launch.workforce
        if workforce is None:
            console.exit(0)
            return
        workforce.stop()
        if self._times == 1:
            console.say("quitting: running jobs may finish; q again quits at once", "warn")
            console.run_worker(self._wait_and_exit(), name="console-leave", group="leave")
        else:
            console.exit(0)

    async def _wait_and_exit(self) -> None:
        if self._console.launch.workforce is not None:
            await self._console.launch.workforce.wait_stopped()
        self._console.exit(0)

    def switch(self, name: str) -> None:
        """Leave for the console of another context; BadSetting where that cannot be entered.

        The workers inside go on for the installation that they were started for.
        """
        launch = self._console.launch
        if name and launch.enter is not None:
            launch.enter("" if name == DEFAULT else name)
            self._console.exit(SWITCHED)
        else:
            self._console.say(f"contexts: {', '.join((DEFAULT, *launch.contexts))}")

    def suspend(self) -> None:
        """Stop this process and what the shell started with it; the driver restores the terminal.

        Workers inside stop with it: while they have running jobs it takes the key twice.
        """
        console = self._console
        if isinstance(console.focused, TextArea):
            console.focused.action_undo()
            return
        can = console._driver is not None and console._driver.can_suspend
        if not can or os.getpgrp() == os.getsid(0):
            words = "ctrl+z: the console was not started by a shell with job control"
            console.say(words, "warn")
            return
        jobs = self._jobs_in_hand()
        if jobs and time.monotonic() - self._warned_at > SURE_SECONDS:
            self._warned_at = time.monotonic()
            words = (
                f"{plural(jobs, 'job')} running here would stop, lose the lease, and run again "
                "elsewhere: ctrl+z again suspends anyway"
            )
            console.say(words, "warn")
            return
        os.killpg(os.getpgrp(), signal.SIGTSTP)

    def _jobs_in_hand(self) -> int:
        """Count the jobs of workers that live in this process."""
        here = socket.gethostname(), os.getpid()
        workers = self._console.store.snapshot.workers
        return sum(each.busy for each in workers if (each.host, each.pid) == here)
