"""The whole program on a pseudo-terminal: every byte that it sends is read and checked."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final

import pytest

from tests.dashboard.conftest import ConsoleMaker
from tests.dashboard.hostile import HARMFUL, fill
from tests.support.waiting import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
APP: Final = "tests.dashboard.hostile:app"
LIMIT_SECONDS: Final = 30.0
OURS: Final = re.compile(
    rb"\x1b\[[0-9;]*m"  # colours
    rb"|\x1b\[[0-9]+;[0-9]+H"  # the cursor's place
    rb"|\x1b\[\?(?:1049|25|1000|1003|1004|1006|1015|1016|2004|2026|2048|7)[hl]"  # modes
    rb"|\x1b\[\?(?:2026|2048)\$p"  # asking for modes
    rb"|\x1b\[[<>=][0-9]*u|\x1b\[\?u"  # kinds of keys
    rb"|\x1b\[(?:14|16|18)t|\x1b\[c|\x1b\[6n|\x1b\[>q"  # asking for sizes, for what it is
    rb"|\x1b\[0m|\x1b\[H|\x1b\[2J"
    rb"|\x1b\]22;(?:default|pointer|text)\x07"  # the shape of the pointer
)
"""All sequences that Textual itself sends. They include erasing, which is therefore counted too."""
ERASING: Final = b"\x1b[2J"
COLOUR: Final = re.compile(rb"\x1b\[([0-9;]*)m")
PLAIN_SGR: Final = {*range(10), *range(21, 30), 39, 49}
SIXTEEN: Final = {*range(30, 38), *range(40, 48), *range(90, 98), *range(100, 108)}


class RealConsole:
    """`hms-svc` in a terminal of 80×24; `seen` is all its output."""

    shell: ClassVar[Sequence[str]] = ()

    def __init__(self, data: Path, *arguments: str, **environment: str) -> None:
        self.seen = b""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        kept = {
            name: value
            for name, value in os.environ.items()
            if "HMS_SVC" not in name and name not in {"COLORTERM", "NO_COLOR", "TMUX"}
        }
        given = {
            **kept,
            "TERM": "xterm-256color",
            "HMS_SVC_DATA_DIR": str(data),
            "HMS_SVC_CONFIG": "",
            "HMS_SVC_APP": APP,
            "HMS_SVC_ACTOR": "ann",
            "COLUMNS": "",
            "LINES": "",
            **environment,
        }
        self.command = [sys.executable, "-m", "hms_svc", *arguments]
        self.process = subprocess.Popen(
            self.shell or self.command,
            cwd=ROOT,
            env=given,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def read(self) -> bool:
        """Read the next output; return False at its end."""
        ready, _, _ = select.select([self.master], [], [], LIMIT_SECONDS)
        assert ready, f"nothing more came after {self.seen[-1000:]!r}"
        try:
            more = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += more
        return bool(more)

    def until(self, what: str, holds: Callable[[], object]) -> None:
        def read() -> None:
            assert self.read(), f"{what}: ended with {self.seen[-1500:]!r}"

        wait_until(what, holds, LIMIT_SECONDS, pause=read, found=lambda: self.seen[-1500:])

    def press(self, keys: str, shows: str) -> None:
        """Press keys, and wait until a text appears in the new output."""
        start = len(self.seen)
        os.write(self.master, keys.encode())
        self.until(f"{shows!r} after {keys!r}", lambda: shows in plain_text(self.seen[start:]))

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        while self.read():
            pass
        return self.process.wait(LIMIT_SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


class ShellConsole(RealConsole):
    """A shell with job control, from which the console is started."""

    shell = ("setsid", "--ctty", "--wait", "bash", "--norc", "--noprofile", "-i")

    def start(self, shows: str) -> None:
        os.write(self.master, f"PS1='READY> '; {' '.join(self.command)}\n".encode())
        self.until("it is shown", lambda: shows in plain_text(self.seen))

    def suspend(self) -> bytes:
        """Press ctrl+z, and return the output until the prompt of the shell."""
        start = len(self.seen)
        os.write(self.master, b"\x1a")
        self.until("the shell has the terminal", lambda: b"READY> " in self.seen[start:])
        return self.seen[start:]

    def leave(self, keys: bytes) -> int:
        start = len(self.seen)
        os.write(self.master, keys)
        self.until("it has left", lambda: b"READY> " in self.seen[start:])
        os.write(self.master, b"exit $?\n")
        while self.read():
            pass
        return self.process.wait(LIMIT_SECONDS)


def plain_text(raw: bytes) -> str:
    """Return the text without Textual's own sequences."""
    return OURS.sub(b"", raw).decode(errors="replace")


@pytest.fixture
def consoles() -> Iterator[list[RealConsole]]:
    """The consoles to end with the test."""
    made: list[RealConsole] = []
    yield made
    for each in made:
        each.close()


async def prepare(open_console: ConsoleMaker) -> None:
    async with open_console(
        app=(APP,), works=True, types=["evil.reject", "evil.fail", "evil.case"]
    ) as driver:
        await fill(driver)
        await driver.until(
            "all have ended",
            lambda: (
                sum(
                    queue.counts.rejected + queue.counts.dead + queue.counts.completed
                    for queue in driver.console.store.snapshot.queues
                )
                == 4
            ),
        )


def walk(driver: RealConsole) -> None:
    driver.until("the first screen", lambda: "Failures" in plain_text(driver.seen))
    driver.until("its rows", lambda: "evil.fail" in plain_text(driver.seen))
    for key, title in zip(
        "23456789",
        ("Jobs", "Failures", "Held", "Workers", "Cases", "Events", "Schedules", "Audit"),
        strict=True,
    ):
        driver.press(key, title)
    driver.press("?", "View")
    driver.press("q", "Audit")
    driver.press("2", " 1/1 ")
    driver.press("i", "why     ")
    driver.press("w", "jobs why")
    driver.press("q", "why     ")
    driver.press("3/Boom\r", "1 of 3")  # what is malformed cannot be retried
    driver.press("r", "note (audit log)")


async def test_hostile_jobs_send_no_control_sequences(
    open_console: ConsoleMaker, tmp_path: Path, consoles: list[RealConsole]
) -> None:
    await prepare(open_console)
    driver = RealConsole(tmp_path, "--attach")
    consoles.append(driver)
    await asyncio.to_thread(walk, driver)
    assert await asyncio.to_thread(driver.end) == 0
    rest = plain_text(driver.seen)
    assert HARMFUL.findall(rest.replace("\r\n", "")) == []
    assert driver.seen.count(ERASING) <= 1
    assert "EVIL" in rest
    assert driver.seen.rfind(b"\x1b[?1049l") > driver.seen.rfind(b"\x1b[?1049h")
    assert driver.seen.rfind(b"\x1b[?25h") > driver.seen.rfind(b"\x1b[?25l")


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [({"NO_COLOR": "1"}, PLAIN_SGR), ({"TERM": "xterm"}, PLAIN_SGR | SIXTEEN)],
    ids=["no colour", "sixteen colours"],
)
async def test_no_more_colours_are_sent_than_the_terminal_supports(
    tmp_path: Path, consoles: list[RealConsole], environment: dict[str, str], allowed: set[int]
) -> None:
    driver = RealConsole(tmp_path, "--attach", **environment)
    consoles.append(driver)
    await asyncio.to_thread(driver.until, "it is shown", lambda: b"Failures" in driver.seen)
    assert await asyncio.to_thread(driver.end) == 0
    codes = {int(code or 0) for found in COLOUR.findall(driver.seen) for code in found.split(b";")}
    assert codes <= allowed


async def test_copying_sends_the_id_by_osc_52_also_through_tmux(
    open_console: ConsoleMaker, tmp_path: Path, consoles: list[RealConsole]
) -> None:
    async with open_console() as driver:
        [job_id] = await driver.enqueue("evil.later", {})
    sequence = b"\x1b]52;c;" + base64.b64encode(job_id.encode()) + b"\x07"
    wrapped = b"\x1bPtmux;\x1b" + sequence + b"\x1b\\"
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "tmux").write_text(f"#!/bin/sh\ncat > {tmp_path}/copied\n")
    (bin_folder / "tmux").chmod(0o755)
    path = f"{bin_folder}:{os.environ['PATH']}"
    real = RealConsole(tmp_path, "--attach", TMUX="/tmp/none,1,0", PATH=path)
    consoles.append(real)

    def copy() -> None:
        real.until("it is shown", lambda: "evil.later" in plain_text(real.seen))
        real.press("2", "· queued")
        os.write(real.master, b"y")
        copied = tmp_path / "copied"
        real.until(
            "all ways were taken",
            lambda: wrapped in real.seen and copied.exists() and copied.read_text() == job_id,
        )

    await asyncio.to_thread(copy)
    assert real.seen.count(sequence) == 2
    assert await asyncio.to_thread(real.end) == 0


def go_to_the_shell_and_back(real: ShellConsole) -> None:
    real.start("evil.later")
    real.press("2", "page 1")
    real.press(":", "help")
    start = len(real.seen)
    shown = real.suspend()
    assert b"Stopped" in shown
    for mode in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1003l", b"\x1b[?2004l", b"\x1b[?1004l"):
        assert mode in shown, mode
    real.press("stty -a; jobs -l\n", "READY> ")
    flags = plain_text(real.seen[start:]).split()
    assert {"icanon", "echo", "isig"} <= set(flags)
    start = len(real.seen)
    os.write(real.master, b"fg\n")
    real.until("it is whole again", lambda: "page 1" in plain_text(real.seen[start:]))
    assert b"\x1b[?1049h" in real.seen[start:]
    assert b"\x1b[?25l" in real.seen[start:]
    os.write(real.master, b"go-held\r")  # the prompt that was open still has the keys
    real.until(
        "it takes keys", lambda: "Nothing waits for approval" in plain_text(real.seen[start:])
    )
    assert real.leave(b"q") == 0


async def test_ctrl_z_returns_the_terminal_to_the_shell_and_fg_restores_the_console(
    open_console: ConsoleMaker, tmp_path: Path, consoles: list[RealConsole]
) -> None:
    async with open_console() as driver:
        await driver.enqueue("evil.later", {})
    real = ShellConsole(tmp_path, "--attach")
    consoles.append(real)
    await asyncio.to_thread(go_to_the_shell_and_back, real)


async def test_ctrl_z_without_a_shell_is_refused_with_a_notice(
    tmp_path: Path, consoles: list[RealConsole]
) -> None:
    real = RealConsole(tmp_path, "--attach")
    consoles.append(real)

    def suspend() -> None:
        real.until("it is shown", lambda: "Failures" in plain_text(real.seen))
        real.press("\x1a", "was not started by a shell")
        real.press("2", "page 1")

    await asyncio.to_thread(suspend)
    assert await asyncio.to_thread(real.end) == 0


async def test_ctrl_z_has_to_be_pressed_twice_while_jobs_run(
    open_console: ConsoleMaker, tmp_path: Path, consoles: list[RealConsole]
) -> None:
    async with open_console() as driver:
        await driver.enqueue("drill.run", {"seconds": 600})
    real = ShellConsole(tmp_path, "--types", "drill.run")
    consoles.append(real)

    def suspend() -> None:
        real.start("1/8")
        real.press("\x1a", "1 job running here would stop")
        assert b"Stopped" in real.suspend()
        real.press("fg\n", "Failures")
        real.press("q", "quitting")
        assert real.leave(b"q") == 0

    await asyncio.to_thread(suspend)
