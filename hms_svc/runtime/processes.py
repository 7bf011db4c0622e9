"""The supervisor of `serve`: worker processes, and the suspect lane when one is needed.

Children are started by exec, never by fork or by importing the caller's script
again. Each holds one end of a socket pair: it writes a byte for what it has to
say, and sees the end of the file when the supervisor is gone.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import Final

import msgspec

from hms_svc.runtime.names import make_worker_id
from hms_svc.settings import Settings, child_environment

log: Final = logging.getLogger("hms_svc.runtime")
READY: Final = b"r"
SUSPECTS: Final = b"s"
DONE: Final = b"d"
FINAL_CODES: Final = frozenset({1, 2, 5, 6})
"""Ends of a child at its start that another would meet, too."""
OUTAGE_CODE: Final = 5
SHORTEST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 5.0
HEALTHY_SECONDS: Final = 10.0


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a child is told, beside the settings in its environment."""

    types: tuple[str, ...] = ()
    drain: bool = False
    suspects: bool = False
    worker_id: str = ""
    predecessor: str = ""


def start_child(
    module: str, told: WorkerSpec | list[WorkerSpec], environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a module as a process of a group of its own, with a line to us that never blocks."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        process = subprocess.Popen(
            [
                sys.executable, "-m", module, str(theirs.fileno()),
                msgspec.json.encode(told).decode(),
            ],
            env=environment,
            pass_fds=[theirs.fileno()],
            process_group=0,
        )  # fmt: skip
    return process, ours


class _Child:
    """One running process, and what it has said."""

    def __init__(self, spec: WorkerSpec, process: subprocess.Popen[bytes], line: socket.socket):
        self.spec = spec
        self.process = process
        self.line = line
        self.started = time.monotonic()
        self.ready = False
        self.done = False
        self._asked = False

    def ask_to_end(self) -> None:
        """Send SIGTERM, once: a second one would have it leave at once."""
        if not self._asked:
            self._asked = True
            self.process.send_signal(signal.SIGTERM)


class Supervisor:
    """Keeps the processes of one `serve` alive, and ends them together.

    With a `line` it says READY there once, and ends when the other end is closed.
    """

    def __init__(
        self, settings: Settings, specs: list[WorkerSpec], line: socket.socket | None = None
    ) -> None:
        self._line = line
        self._environment = child_environment(settings)
        self._grace_seconds = settings.grace_seconds
        self._specs = specs
        self._children: list[_Child] = []
        self._restarts: list[tuple[float, WorkerSpec]] = []
        self._pause_seconds = SHORTEST_PAUSE_SECONDS
        self._selector = selectors.DefaultSelector()
        self._stop_signal = 0
        self._exit_code = 0
        self._deadline = float("inf")
        self._has_worked = False

    def run(self) -> int:
        """Start the processes and watch them; gives the exit code of `serve`."""
        hears, rings = socket.socketpair()
        for end in (hears, rings):
            end.setblocking(False)
        signal.set_wakeup_fd(rings.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, _note)
        self._selector.register(hears, selectors.EVENT_READ)
        if self._line is not None:
            self._selector.register(self._line, selectors.EVENT_READ)
        for spec in self._specs:
            self._start(spec)
        while self._children or self._restarts:
            self._turn(hears)
        return self._exit_code

    def _turn(self, hears: socket.socket) -> None:
        for key, _ in self._selector.select(self._patience()):
            if key.fileobj is hears:
                for number in hears.recv(4096):
                    self._on_signal(number)
            elif key.fileobj is self._line:
                self._selector.unregister(self._line)
                if not self._stop_signal:
                    self._on_signal(signal.SIGTERM)
            else:
                self._listen(key.data)
        self._bury()
        self._restart()
        if time.monotonic() > self._deadline:
            self._kill_all()

    def _patience(self) -> float | None:
        moments = [moment for moment, _ in self._restarts]
        if self._deadline != float("inf"):
            moments.append(self._deadline)
        return max(0.0, min(moments) - time.monotonic()) + 0.001 if moments else None

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            return
        if self._stop_signal:
            self._exit_code = 130
            self._kill_all()
            return
        self._stop_signal = number
        self._exit_code = 130 if number == signal.SIGINT else 0
        self._stop(self._exit_code)

    def _stop(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._restarts.clear()
        self._deadline = time.monotonic() + self._grace_seconds + 10.0
        for child in self._children:
            child.ask_to_end()

    def _kill_all(self) -> None:
        self._restarts.clear()
        for child in self._children:
            child.process.kill()

    def _start(self, spec: WorkerSpec) -> None:
        spec = msgspec.structs.replace(spec, worker_id=make_worker_id())
        process, line = start_child("hms_svc.worker_process", spec, self._environment)
        child = _Child(spec, process, line)
        self._children.append(child)
        self._selector.register(line, selectors.EVENT_READ, child)

    def _listen(self, child: _Child) -> None:
        try:
            said = child.line.recv(4096)
        except BlockingIOError:
            return
        except ConnectionError:
            said = b""
        if not said:
            self._selector.unregister(child.line)
            return
        child.ready |= READY in said
        if child.ready and not self._has_worked:
            self._has_worked = True
            say(self._line, READY)
        child.done |= DONE in said
        if SUSPECTS in said:
            self._need_lane()

    def _need_lane(self) -> None:
        running = any(child.spec.suspects for child in self._children)
        coming = any(spec.suspects for _, spec in self._restarts)
        if not running and not coming and not self._stop_signal:
            self._start(WorkerSpec(types=self._specs[0].types, suspects=True))

    def _bury(self) -> None:
        for child in [child for child in self._children if child.process.poll() is not None]:
            if child.line.fileno() in self._selector.get_map():
                self._listen(child)
            if child.line.fileno() in self._selector.get_map():
                self._selector.unregister(child.line)
            child.line.close()
            self._children.remove(child)
            self._on_end(child)
        if not any(not child.spec.suspects for child in self._children) and not any(
            not spec.suspects for _, spec in self._restarts
        ):
            self._restarts.clear()
            for lane in self._children:
                lane.ask_to_end()

    def _on_end(self, child: _Child) -> None:
        code = child.process.returncode
        is_over = child.done and (child.spec.drain or child.spec.suspects)
        if is_over or self._stop_signal:
            return
        passes = code == OUTAGE_CODE and self._has_worked
        if not child.ready and code in FINAL_CODES and not passes:
            if self._deadline == float("inf"):
                self._stop(code)
            return
        log.error("worker process %d ended with %s; starting another", child.process.pid, code)
        if time.monotonic() - child.started > HEALTHY_SECONDS or child.spec.suspects:
            self._pause_seconds = SHORTEST_PAUSE_SECONDS
        # A child that never began has left nothing behind; the one before it may have.
        heir_of = child.spec.worker_id if child.ready else child.spec.predecessor
        successor = msgspec.structs.replace(child.spec, predecessor=heir_of or child.spec.worker_id)
        self._restarts.append((time.monotonic() + self._pause_seconds, successor))
        self._pause_seconds = min(LONGEST_PAUSE_SECONDS, self._pause_seconds * 2)

    def _restart(self) -> None:
        now = time.monotonic()
        for restart in [restart for restart in self._restarts if restart[0] <= now]:
            self._restarts.remove(restart)
            self._start(restart[1])


def _note(number: int, frame: FrameType | None) -> None:
    """Let the wake-up descriptor carry the signal."""


def say(line: socket.socket | None, what: bytes) -> None:
    """Say something on a line, where there is one and somebody listens."""
    try:
        if line is not None:
            line.send(what)
    except OSError:
        log.debug("nobody listens on the line")


def end_line(line: socket.socket | None) -> None:
    """Let the process at the other end of a line know that it shall end, too."""
    try:
        if line is not None:
            line.shutdown(socket.SHUT_WR)
    except OSError:
        log.debug("nobody listens on the line")


def parent_is_gone(line: int) -> bool:
    """Tell, for a child whose socket became readable, whether its supervisor has ended."""
    return os.read(line, 1) == b""
