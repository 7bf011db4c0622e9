"""The terminal is reserved for the screen, and is usable again after any end of the console."""

from __future__ import annotations

import os
import pty
import select
import signal
import stat
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 20.0
SCREEN_OFF = b"\x1b[?1049l"


class Terminal:
    """A pseudo-terminal with the application on it; `seen` is all its output."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / "console.log"
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.dashboard.noisy_app", str(self.log), *arguments],
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
        )

    def until(self, wanted: bytes) -> None:
        wait_until(
            f"{wanted!r} is shown",
            lambda: wanted in self.seen,
            LIMIT_SECONDS,
            pause=self._read,
            found=lambda: self.seen[-2000:],
        )

    def _read(self) -> None:
        ready, _, _ = select.select([self.master], [], [], 0.1)
        if ready:
            self.seen += os.read(self.master, 65536)

    def until_logged(self, wanted: str) -> None:
        wait_until(
            f"{wanted!r} is in the log",
            lambda: self.log.exists() and wanted in self.log.read_text(),
            LIMIT_SECONDS,
        )

    def press(self, key: bytes) -> None:
        os.write(self.master, key)

    def attributes(self) -> list[object]:
        return termios.tcgetattr(self.slave)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for descriptor in (self.master, self.slave):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.close()


def test_output_of_handlers_and_their_children_goes_to_the_log(terminal: Terminal) -> None:
    terminal.until(b"READY")
    terminal.press(b"q")
    terminal.until(b"back 0")
    assert terminal.process.wait(LIMIT_SECONDS) == 0
    assert b"noise" not in terminal.seen
    logged = terminal.log.read_text()
    assert [word for word in logged.split() if word.startswith("noise")] == [
        "noise-1",
        "noise-2",
        "noise-3",
        "noise-4",
    ]
    assert stat.S_IMODE(terminal.log.stat().st_mode) == 0o600
    assert terminal.attributes() == terminal.before


def test_sigterm_restores_the_terminal(terminal: Terminal) -> None:
    terminal.until(b"READY")
    terminal.process.send_signal(signal.SIGTERM)
    terminal.until(b"back 0")
    assert SCREEN_OFF in terminal.seen
    assert terminal.attributes() == terminal.before


def test_a_crash_is_logged_and_leaves_the_terminal_usable(terminal: Terminal) -> None:
    terminal.until(b"READY")
    terminal.press(b"c")
    terminal.until(b"back 1")
    assert b"crash-words" not in terminal.seen
    assert "crash-words" in terminal.log.read_text()
    assert terminal.attributes() == terminal.before


def test_the_guard_restores_the_terminal_of_a_killed_console(
    terminal: Terminal,
) -> None:
    terminal.until(b"READY")
    terminal.press(b"k")
    terminal.until(SCREEN_OFF)
    wait_until(
        "the terminal is as before", lambda: terminal.attributes() == terminal.before, LIMIT_SECONDS
    )


def test_a_second_signal_exits_at_once(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "--stay")
    try:
        terminal.until(b"READY")
        terminal.process.send_signal(signal.SIGTERM)
        terminal.until_logged("LEAVING")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(LIMIT_SECONDS) == 130
        terminal.until(SCREEN_OFF)
        assert terminal.attributes() == terminal.before
    finally:
        terminal.close()


def test_a_lost_terminal_ends_the_console_in_order(terminal: Terminal) -> None:
    terminal.until(b"READY")
    os.close(terminal.slave)
    os.close(terminal.master)
    terminal.slave = terminal.master = -1
    terminal.process.wait(LIMIT_SECONDS)
    assert "LEAVING" in terminal.log.read_text()
