"""Textual's driver for Linux and macOS, on a given terminal."""

from __future__ import annotations

import os
import select
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from hms_svc.tui.terminal import Terminal

if TYPE_CHECKING:
    from textual.app import App

TIMEOUT_SECONDS: Final = 0.1
CHUNK_BYTES: Final = 4096


class ScreenDriver(LinuxDriver):
    """Draws on and reads from `terminal`, independent of descriptors 0, 1 and 2."""

    terminal: ClassVar[Terminal]

    def __init__(
        self,
        app: App[object],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = cast("Any", self.terminal.screen)
        self.fileno = self.terminal.keys
        self.input_tty = True

    def _get_terminal_size(self) -> tuple[int, int]:
        try:
            columns, lines = os.get_terminal_size(self.terminal.screen.fileno())
        except OSError:
            columns, lines = 80, 24
        return columns or 80, lines or 24

    def run_input_thread(self) -> None:
        """Turn keys into messages; a closed terminal ends the input without an error."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        while not self.exit_event.is_set():
            ready, _, _ = select.select([self.fileno], [], [], TIMEOUT_SECONDS)
            if ready:
                read = self._read()
                if not read:
                    self.terminal.hang_up()
                    return
                for event in parser.feed(decode(read)):
                    self.process_message(event)
            for event in parser.tick():
                self.process_message(event)

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno, CHUNK_BYTES)
        except OSError:
            return b""


def driver_for(terminal: Terminal) -> type[ScreenDriver]:
    """Return a driver class bound to this terminal."""
    ScreenDriver.terminal = terminal
    return ScreenDriver
