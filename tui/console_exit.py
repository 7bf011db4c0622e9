"""Exit after the running jobs have ended, switch to another context, or suspend to the shell."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from textual.widgets import TextArea
from textual.worker import WorkerError

from hms_svc.domain.plain_text import plural

if TYPE_CHECKING:
    from textual.worker import Worker

    from hms_svc.tui.host import ConsoleHost

SWITCHED: Final = -1
"""The return value of a console that is left for another context."""
DEFAULT: Final = "default"
"""The name of the installation that the console was started for."""
CONFIRM_SECONDS: Final = 8.0
"""For how long after the warning a second press confirms it."""
CLOSE_SECONDS: Final = 2.0
"""How long the console waits at most for its connections to close."""


async def wait_closed(worker: Worker[None]) -> None:
    """Wait until a cancelled worker has ended, at most CLOSE_SECONDS; then it is cancelled again."""
    with suppress(WorkerError, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await worker.wait()


class ConsoleExit:
    """Ends the console, or suspends it until `fg`."""

    def __init__(self, console: ConsoleHost) -> None:
        self._console = console
        self._times = 0
        self._warned_at = -CONFIRM_SECONDS

    def leave(self) -> None:
        """Exit once the running jobs have finished; the second call exits at once."""
        self._times += 1
        console = self._console
        workforce = console.launch.workforce
        if workforce is None:
            console.exit(0)
            return
        workforce.stop()
        if self._times == 1:
            console.show_notice("quitting: running jobs may finish; q again quits at once", "warn")
            console.run_worker(self._wait_and_exit(), name="console-leave", group="leave")
        else:
            console.exit(0)

    async def _wait_and_exit(self) -> None:
        if self._console.launch.workforce is not None:
            await self._console.launch.workforce.wait_stopped()
        self._console.exit(0)

    def switch(self, name: str) -> None:
        """Switch to the console of another context; raise BadSetting if that is not possible.

        Embedded workers keep working for the installation that they were started for.
        """
        launch = self._console.launch
        if name and launch.enter is not None:
            launch.enter("" if name == DEFAULT else name)
            self._console.exit(SWITCHED)
        else:
            self._console.show_notice(f"contexts: {', '.join((DEFAULT, *launch.contexts))}")

    def suspend(self) -> None:
        """Stop the whole process group; the driver restores the terminal.

        Embedded workers stop too: while they have running jobs, the key has to be pressed twice.
        """
        console = self._console
        if isinstance(console.focused, TextArea):
            console.focused.action_undo()
            return
        can = console._driver is not None and console._driver.can_suspend
        if not can or os.getpgrp() == os.getsid(0):
            message = "ctrl+z: the console was not started by a shell with job control"
            console.show_notice(message, "warn")
            return
        jobs = self._running_jobs_here()
        if jobs and time.monotonic() - self._warned_at > CONFIRM_SECONDS:
            self._warned_at = time.monotonic()
            message = (
                f"{plural(jobs, 'job')} running here would stop, lose the lease, and run again "
                "elsewhere: ctrl+z again suspends anyway"
            )
            console.show_notice(message, "warn")
            return
        os.killpg(os.getpgrp(), signal.SIGTSTP)

    def _running_jobs_here(self) -> int:
        """Count the running jobs of the workers of this process."""
        here = socket.gethostname(), os.getpid()
        workers = self._console.store.snapshot.workers
        return sum(each.busy for each in workers if (each.host, each.pid) == here)
