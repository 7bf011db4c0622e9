"""Reserve the terminal for the screen: everything else that is printed goes to the console's log."""

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
"""Resets the terminal modes that Textual sets: keys, mouse, paste, focus, wrapping, screen, cursor."""
_GUARD: Final = 'trap "" HUP INT TERM TTOU; read -r _ || { printf %s "$1"; stty "$2" <&1; }'


class Screen(io.TextIOBase):
    """Writes to the terminal; once the terminal is gone, discards output, since running jobs must go on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._gone = False

    def fileno(self) -> int:
        """Return the file descriptor of the terminal."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Write a whole text, unbuffered."""
        left = memoryview(text.encode("utf-8", "replace"))
        try:
            while left and not self._gone:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            self._gone = True
        return len(text)


class Terminal:
    """While entered, descriptor 0 is /dev/null, 1 and 2 are the log, and the screen has duplicates.

    Exiting restores all of them, also after an error. If the process is killed, a small
    guard process makes the terminal usable again.
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
        """The file descriptor that keys are read from."""
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
        self._restore_attributes()
        _flush()
        for descriptor, kept in enumerate(self._kept):
            os.dup2(kept, descriptor)
            os.close(kept)
        if self._guard is not None:
            self._guard.communicate(b"\n")

    def leave_on_signals(self, leave: Callable[[], None]) -> None:
        """Call `leave` on the first SIGTERM, SIGINT or SIGHUP, or when the terminal is lost.

        A second SIGTERM or SIGINT ends the process at once. Call it on the running loop.
        """
        self._leave, self._loop = leave, asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.add_signal_handler(number, self._leave_once)

    def hang_up(self) -> None:
        """Report that the terminal is lost; callable from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._leave_once)

    def _leave_once(self) -> None:
        leave, self._leave = self._leave, None
        if leave is None or self._loop is None:
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(number)
            signal.signal(number, self._leave_now)
        leave()

    def _leave_now(self, *_: object) -> None:
        self.screen.write(RESTORE)
        self._restore_attributes()
        os._exit(EXIT_INTERRUPTED)

    def _restore_attributes(self) -> None:
        try:
            termios.tcsetattr(self.keys, termios.TCSANOW, self._attributes)
        except termios.error:
            return  # the terminal is gone


def has_terminal() -> bool:
    """Return whether stdin and stdout are a terminal."""
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
    # Without a home directory the path is in a shared place, where another user may have created the file.
    if os.getuid() not in {0, os.fstat(log).st_uid}:
        os.close(log)
        raise BadSetting(
            f"the console's log {path} belongs to another user: set data_dir to a directory of yours"
        )
    return log


def _start_guard(keys: int, screen: int) -> subprocess.Popen[bytes] | None:
    """Start a shell that restores the terminal if this process ends without doing so."""
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
