"""A small application on a `Terminal`, whose keys end it in every possible way."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

from textual.app import App, ComposeResult
from textual.widgets import Static

from hms_svc.tui.driver import driver_for
from hms_svc.tui.terminal import Terminal


class Noisy(App[None]):
    """Writes to descriptors 1 and 2, by itself and by a child process, then shows READY."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(driver_class=driver_for(terminal))
        self.terminal = terminal

    def compose(self) -> ComposeResult:
        yield Static("", id="message")

    def on_mount(self) -> None:
        self.terminal.leave_on_signals(lambda: self.show_message("LEAVING"))
        os.write(1, b"noise-1\n")
        os.write(2, b"noise-2\n")
        subprocess.run(["sh", "-c", "echo noise-3; echo noise-4 >&2; cat"], check=True)
        self.show_message("READY")

    def show_message(self, message: str) -> None:
        os.write(1, message.encode() + b"\n")
        self.query_one("#message", Static).update(message)
        if message == "LEAVING" and "--stay" not in sys.argv:
            self.exit()

    def key_q(self) -> None:
        self.exit()

    def key_c(self) -> None:
        raise ZeroDivisionError("crash-words")

    def key_k(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


fcntl.ioctl(0, termios.TIOCSCTTY, 0)
with Terminal(Path(sys.argv[1])) as kept:
    app = Noisy(kept)
    app.run()
print("back", app.return_code)
