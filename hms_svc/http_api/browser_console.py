"""A console for a browser: the program's own, on a pseudo-terminal that is connected to a WebSocket."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

CHUNK_BYTES: Final = 64 * 1024
MOST_COLUMNS: Final = 500
MOST_LINES: Final = 300
LEAVE_SECONDS: Final = 5.0
_TERMINAL: Final = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
_NOT_HANDED_ON: Final = ("TMUX", "STY", "NO_COLOR", "HMS_SVC_TEST_FOLDER")


class BrowserConsole:
    """A process with its own terminal; it exits when that is closed."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        self._process = process
        self._terminal = terminal
        self._loop = asyncio.get_running_loop()
        self._readable = asyncio.Event()
        os.set_blocking(terminal, False)

    @classmethod
    async def start(
        cls, environment: Mapping[str, str], *, read_only: bool, columns: int, lines: int
    ) -> BrowserConsole:
        """Start `hms-svc --attach` at this size, with these settings."""
        terminal, theirs = pty.openpty()
        try:
            _set_size(terminal, columns, lines)
            kept = {name: text for name, text in environment.items() if name not in _NOT_HANDED_ON}
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "hms_svc",
                "--attach",
                *(["--read-only"] if read_only else []),
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env={**kept, **_TERMINAL},
                start_new_session=True,
            )
        except BaseException:
            os.close(terminal)
            raise
        finally:
            os.close(theirs)
        return cls(process, terminal)

    async def read(self) -> bytes:
        """Wait for output; empty if the console has exited."""
        while True:
            try:
                return os.read(self._terminal, CHUNK_BYTES)
            except BlockingIOError:
                await self._shown()
            except OSError:  # the other end is closed
                return b""

    async def _shown(self) -> None:
        self._readable.clear()
        self._loop.add_reader(self._terminal, self._readable_now)
        await self._readable.wait()

    def _readable_now(self) -> None:
        # The loop would report it in every iteration until it is read.
        self._loop.remove_reader(self._terminal)
        self._readable.set()

    def write(self, keys: str) -> None:
        """Pass on what was typed; what the console does not read is lost, as at a busy terminal."""
        try:
            os.write(self._terminal, keys.encode("utf-8", "replace"))
        except OSError:
            return

    def resize(self, columns: int, lines: int) -> None:
        """Set the size of the console."""
        _set_size(self._terminal, columns, lines)
        # Its terminal controls no process, so the kernel sends no signal.
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGWINCH)

    async def close(self) -> None:
        """Hang up, and wait for the process to exit."""
        self._loop.remove_reader(self._terminal)
        os.close(self._terminal)
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()


def _set_size(terminal: int, columns: int, lines: int) -> None:
    size = max(1, min(lines, MOST_LINES)), max(1, min(columns, MOST_COLUMNS))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
