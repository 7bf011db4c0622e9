"""The terminal, kept for the screen alone: all else that is printed goes to the console's log."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from hms_svc.domain.errors import BadSetting

EXIT_INTERRUPTED: Final = 130
LARGEST_LOG_BYTES: Final = 10_000_000
RESTORE: Final = (
    "\x1b[<u\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?2004l\x1b[?2048l"
    "\x1b[?1004l\x1b[?7h\x1b[?1049l\x1b[?25h\x1b[0m"
)
"""Undoes what Textual asks of a terminal: keys, mouse, paste, focus, wrapping, screen, cursor."""
_GUARD: Final = 'trap "" HUP INT TERM TTOU; read -r _ || { printf %s "$1"; stty "$2" <&1; }'


class Screen(io.TextIOBase):
    """Writes to the terminal; once that is gone, to nobody, since the running jobs must go on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._gone = False

    def fileno(self) -> int:
        """Return the terminal's descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return that this is a terminal."""
        return True

    def write(self, text: str) -> int:
        """Write all of a text at once."""
        left = memoryview(text.encode("utf-8", "replace"))
        try:
            while left and not self._gone:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            self._gone = True
        return len(text)


class Terminal:
    """While entered, descriptor 0 is empty and 1 and 2 are the log; the screen has duplicates.

    Leaving puts all back, also after an error. A process that is killed leaves
    a small guard behind that makes the terminal usable again.
    """

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._kept: list[int] = []
        self._attributes: list[Any] = []
        self._guard: subprocess.Popen[bytes] | None = None
        self._leave: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.screen = Screen(-1)

    @property
    def keys(self) -> int:
        """The descriptor that keys are read from."""
        return self._kept[0]

    def __enter__(self) -> Self:
        log = _open_log(self._log_path)
        _flush()
        self._kept = [os.dup(descriptor) for descriptor in range(3)]
        self.screen = Screen(self._kept[1])
        self._attributes = termios.tcgetattr(self.keys)
        self._guard = _start_guard(self.keys, self._kept[1])
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.close(nothing)
        os.close(log)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.screen.write(RESTORE)
        self._calm()
        _flush()
        for descriptor, kept in enumerate(self._kept):
            os.dup2(kept, descriptor)
            os.close(kept)
        if self._guard is not None:
            self._guard.communicate(b"\n")

    def leave_on_signals(self, leave: Callable[[], None]) -> None:
        """Let the first SIGTERM, SIGINT or SIGHUP, or a terminal that is gone, call `leave`.

        A second SIGTERM or SIGINT ends the process at once. Call it on the running loop.
        """
        self._leave, self._loop = leave, asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.add_signal_handler(number, self._begin_to_leave)

    def hang_up(self) -> None:
        """Hear, on any thread, that the terminal is gone."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_to_leave)

    def _begin_to_leave(self) -> None:
        leave, self._leave = self._leave, None
        if leave is None or self._loop is None:
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(number)
            signal.signal(number, self._leave_now)
        leave()

    def _leave_now(self, *_: object) -> None:
        self.screen.write(RESTORE)
        self._calm()
        os._exit(EXIT_INTERRUPTED)

    def _calm(self) -> None:
        try:
            termios.tcsetattr(self.keys, termios.TCSANOW, self._attributes)
        except termios.error:
            return  # it is gone


def has_terminal() -> bool:
    """Return whether keys can be read and a screen can be shown."""
    return os.isatty(0) and os.isatty(1)


def _flush() -> None:
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()


def _open_log(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and path.stat().st_size > LARGEST_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        log = os.open(path, flags, 0o600)
    except OSError as error:
        raise BadSetting(f"the console's log {path} cannot be written: {error.strerror}") from error
    # Where no home is known it stands where everybody may put a file of that name.
    if os.getuid() not in {0, os.fstat(log).st_uid}:
        os.close(log)
        raise BadSetting(f"the console's log {path} belongs to somebody else: set data_dir")
    return log


def _start_guard(keys: int, screen: int) -> subprocess.Popen[bytes] | None:
    """Start a shell that waits for our end, and puts the terminal in order if it came unasked."""
    try:
        asked = subprocess.run(["stty", "-g"], stdin=keys, capture_output=True, check=True)
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "hms-svc-guard", RESTORE, asked.stdout.strip()],
            stdin=subprocess.PIPE,
            stdout=screen,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
