"""The supervisor of `serve`: workers, the HTTP server that listens, the suspect lane when it is needed.

Children are started by exec, never by fork or by importing the caller's script again. Each holds one end of a socket
pair: it writes a byte to report, reads one when it is to stop, and reads end of file when the supervisor is gone.
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
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import FrameType
from typing import Final

import msgspec

from hms_svc.processes.orphans import reap_orphans
from hms_svc.processes.stop_signals import EXIT_INTERRUPTED, Stop, stop_signals
from hms_svc.runtime.worker_ids import make_worker_id
from hms_svc.settings import Settings, child_environment

log: Final = logging.getLogger("hms_svc.runtime")
READY: Final = b"r"
SUSPECTS: Final = b"s"
DONE: Final = b"d"
STOPPING: Final = b"x"
DISMISSED: Final = b"o"
STOP: Final = b"t"
STOP_NOW: Final = b"h"
FINAL_CODES: Final = frozenset({1, 2, 5, 6})
"""Ends of a child at its start that another would meet, too: all the service ends with the first
of its role. One that comes later finds a file that was changed, say; it is tried again."""
OUTAGE_CODE: Final = 5
REPLACED_CODE: Final = 72
"""The end of a child whose open files are not at their paths any more: all the service ends, with
OUTAGE_CODE, so that whoever keeps it starts it anew."""
SHORTEST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 5.0
HEALTHY_SECONDS: Final = 10.0


class Role(StrEnum):
    """What a child is for: jobs, jobs that may have ended their worker, or HTTP."""

    WORKER = "worker"
    SUSPECTS = "suspects"
    HTTP = "door"


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a child is told, beside the settings in its environment.

    `listening` is the descriptor of the socket that an HTTP server accepts from, open
    before it starts; `reports` that of the datagrams in which workers tell
    the HTTP server what they measured. -1 is none.
    """

    role: Role = Role.WORKER
    types: tuple[str, ...] = ()
    drain: bool = False
    worker_id: str = ""
    predecessor: str = ""
    listening: int = -1
    reports: int = -1
    web: bool = False

    @property
    def descriptors(self) -> list[int]:
        """What the child inherits, beside its line."""
        return [number for number in (self.listening, self.reports) if number >= 0]


def python_module(module: str) -> list[str]:
    """Return the command that runs a module of ours, and imports nothing from the current folder."""
    return [sys.executable, "-P", "-m", module]


def start_child(
    module: str,
    told: ChildSpec | list[ChildSpec],
    environment: Mapping[str, str],
    *,
    inherited: Sequence[int] = (),
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a module as a process of a group of its own, with a line to us that never blocks."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        process = subprocess.Popen(
            [
                *python_module(module), str(theirs.fileno()), msgspec.json.encode(told).decode(),
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno(), *inherited],
            process_group=0,
        )  # fmt: skip
    return process, ours


MODULES: Final = {
    Role.WORKER: "hms_svc.processes.worker_main",
    Role.SUSPECTS: "hms_svc.processes.worker_main",
    Role.HTTP: "hms_svc.processes.http_server_main",
}


class _Child:
    """One running process, and what it has said."""

    def __init__(self, spec: ChildSpec, process: subprocess.Popen[bytes], line: socket.socket):
        self.spec = spec
        self.process = process
        self.line = line
        self.started = time.monotonic()
        self.ready = False
        self.done = False
        self.replaced = False
        self.leave_by = float("inf")
        self._asked = False

    def ask_to_end(self) -> None:
        """Ask over the line, once: a signal would count beside one that was sent to all."""
        if not self._asked:
            self._asked = True
            send(self.line, STOP)


class Supervisor:
    """Keeps the processes of one `serve` alive, and ends them together.

    With a `line` it says READY there once, and ends when the other end is closed.
    """

    def __init__(
        self, settings: Settings, specs: list[ChildSpec], line: socket.socket | None = None
    ) -> None:
        self._line = line
        self._environment = child_environment(settings)
        self._grace_seconds = settings.grace_seconds
        self._specs = specs
        self._children: list[_Child] = []
        self._restarts: list[tuple[float, ChildSpec]] = []
        self._pause_seconds = dict.fromkeys(Role, SHORTEST_PAUSE_SECONDS)
        self._began: set[Role] = set()
        self._selector = selectors.DefaultSelector()
        self._stop_signal = 0
        self._stop_reported = Stop()
        self._stopping = False
        self._exit_code = 0
        self._deadline = float("inf")
        self._has_worked = False
        self._metrics: tuple[socket.socket, socket.socket] | None = None
        if any(spec.role is Role.HTTP for spec in specs):
            self._metrics = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def run(self) -> int:
        """Start the processes and watch them; gives the exit code of `serve`."""
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        for number in (*stop_signals(), signal.SIGCHLD):
            signal.signal(number, _note)
        self._selector.register(reader, selectors.EVENT_READ)
        if self._line is not None:
            self._selector.register(self._line, selectors.EVENT_READ)
        for spec in self._specs:
            self._start(spec)
        while self._children or self._restarts:
            self._poll_once(reader)
        return self._exit_code

    def _poll_once(self, reader: socket.socket) -> None:
        for key, _ in self._selector.select(self._patience()):
            if key.fileobj is reader:
                for number in reader.recv(4096):
                    self._on_signal(number)
            elif key.fileobj is self._line:
                self._read_console(self._line)
            else:
                self._listen(key.data)
        self._bury()
        self._restart()
        now = time.monotonic()
        if now > self._deadline:
            self._kill_all()
        for child in self._children:
            if now > child.leave_by:
                child.process.kill()

    def _patience(self) -> float | None:
        moments = [moment for moment, _ in self._restarts]
        limits = [self._deadline, *(child.leave_by for child in self._children)]
        moments += [limit for limit in limits if limit != float("inf")]
        return max(0.0, min(moments) - time.monotonic()) + 0.001 if moments else None

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            return
        if not self._stop_reported.reports_to(number):
            self._exit_code = EXIT_INTERRUPTED
            self._kill_all()
            return
        if not self._stop_signal:
            self._begin_to_stop(number)

    def _read_console(self, line: socket.socket) -> None:
        """Stop with the console that these workers belong to, at once where it says so."""
        received = receive(line)
        if not received:
            self._selector.unregister(line)
        if STOP_NOW in received:
            self._kill_all()
        elif not self._stop_signal:
            self._begin_to_stop(signal.SIGTERM)

    def _begin_to_stop(self, number: int) -> None:
        self._stop_signal = number
        self._stop(EXIT_INTERRUPTED if number == signal.SIGINT else 0)

    def _stop(self, exit_code: int) -> None:
        if not self._stopping:
            for spec in self._specs:
                if spec.listening >= 0:
                    os.close(
                        spec.listening
                    )  # the HTTP server has its own; nobody shall wait for no one
        self._stopping = True
        self._exit_code = exit_code
        self._restarts.clear()
        self._deadline = time.monotonic() + self._grace_seconds + 10.0
        for child in self._children:
            child.ask_to_end()

    def _kill_all(self) -> None:
        self._restarts.clear()
        for child in self._children:
            child.process.kill()

    def _start(self, spec: ChildSpec) -> None:
        spec = msgspec.structs.replace(
            spec, worker_id=make_worker_id(), reports=self._end_of_reports(spec.role)
        )
        process, line = start_child(
            MODULES[spec.role], spec, self._environment, inherited=spec.descriptors
        )
        child = _Child(spec, process, line)
        self._children.append(child)
        self._selector.register(line, selectors.EVENT_READ, child)

    def _end_of_reports(self, role: Role) -> int:
        if self._metrics is None:
            return -1
        reads, writes = self._metrics
        return (reads if role is Role.HTTP else writes).fileno()

    def _listen(self, child: _Child) -> None:
        try:
            received = child.line.recv(4096)
        except BlockingIOError:
            return
        except ConnectionError:
            received = b""
        if not received:
            self._selector.unregister(child.line)
            return
        if READY in received:
            child.ready = True
            self._began.add(child.spec.role)
        if child.ready and child.spec.role is Role.WORKER and not self._has_worked:
            self._has_worked = True
            send(self._line, READY)
        child.done |= DONE in received
        if STOPPING in received or DISMISSED in received:
            self._let_leave(child, is_dismissed=DISMISSED in received)
        if SUSPECTS in received:
            self._need_lane()

    def _let_leave(self, child: _Child, *, is_dismissed: bool) -> None:
        """Start another beside a worker that stops unasked from here, unless an operator stopped it."""
        if self._stopping or child.spec.role is not Role.WORKER or child.spec.drain:
            return
        child.replaced = True
        child.leave_by = time.monotonic() + self._grace_seconds + 10.0
        if is_dismissed:
            log.warning("worker process %d is stopped by an operator", child.process.pid)
            return
        log.warning("worker process %d stops unasked; starting another", child.process.pid)
        self._start_later(child, msgspec.structs.replace(child.spec, predecessor=""))

    def _need_lane(self) -> None:
        if not self._has(Role.SUSPECTS) and not self._stopping:
            self._start(ChildSpec(role=Role.SUSPECTS, types=self._specs[0].types))

    def _has(self, role: Role) -> bool:
        """Return whether a child of this role runs, or is about to."""
        specs = [*(child.spec for child in self._children), *(spec for _, spec in self._restarts)]
        return any(spec.role is role for spec in specs)

    def _bury(self) -> None:
        for child in [child for child in self._children if child.process.poll() is not None]:
            if child.line.fileno() in self._selector.get_map():
                self._listen(child)
            if child.line.fileno() in self._selector.get_map():
                self._selector.unregister(child.line)
            child.line.close()
            self._children.remove(child)
            self._on_end(child)
        reap_orphans({child.process.pid for child in self._children})
        if not self._has(Role.WORKER):
            self._restarts.clear()
            for companion in self._children:
                companion.ask_to_end()

    def _on_end(self, child: _Child) -> None:
        code = child.process.returncode
        if self._stopping and code == EXIT_INTERRUPTED and not self._exit_code:
            self._exit_code = code
        if code == REPLACED_CODE and not self._stopping:
            log.error(
                "files were replaced or removed under this service: it ends with %d", OUTAGE_CODE
            )
            self._stop(OUTAGE_CODE)
            return
        if child.replaced:
            return
        is_over = child.done and (child.spec.drain or child.spec.role is not Role.WORKER)
        if is_over or self._stopping:
            return
        passes = child.spec.role in self._began or (code == OUTAGE_CODE and self._has_worked)
        if not child.ready and code in FINAL_CODES and not passes:
            self._stop(code)
            return
        log.error(
            "%s process %d ended with %s; starting another",
            child.spec.role, child.process.pid, code,
        )  # fmt: skip
        # A child that never began has left nothing behind; the one before it may have.
        heir_of = child.spec.worker_id if child.ready else child.spec.predecessor
        successor = msgspec.structs.replace(child.spec, predecessor=heir_of or child.spec.worker_id)
        self._start_later(child, successor)

    def _start_later(self, child: _Child, successor: ChildSpec) -> None:
        role = child.spec.role
        if time.monotonic() - child.started > HEALTHY_SECONDS or role is Role.SUSPECTS:
            self._pause_seconds[role] = SHORTEST_PAUSE_SECONDS
        self._restarts.append((time.monotonic() + self._pause_seconds[role], successor))
        self._pause_seconds[role] = min(LONGEST_PAUSE_SECONDS, self._pause_seconds[role] * 2)

    def _restart(self) -> None:
        now = time.monotonic()
        for restart in [restart for restart in self._restarts if restart[0] <= now]:
            self._restarts.remove(restart)
            self._start(restart[1])


def _note(number: int, frame: FrameType | None) -> None:
    """Let the wake-up descriptor carry the signal."""


def send(line: socket.socket | None, what: bytes) -> None:
    """Write something on a line, where there is one and somebody listens."""
    try:
        if line is not None:
            line.send(what)
    except OSError:
        log.debug("nobody listens on the line")


def receive(line: socket.socket) -> bytes:
    """Wait for what the other end of a line says; nothing where that has ended, however it did."""
    try:
        return line.recv(64)
    except ConnectionError:
        return b""


def end_line(line: socket.socket | None) -> None:
    """Let the process at the other end of a line know that it shall end, too."""
    try:
        if line is not None:
            line.shutdown(socket.SHUT_WR)
    except OSError:
        log.debug("nobody listens on the line")


def stop_reason(line: int) -> str:
    """Return, for a child whose line became readable, why it shall stop; empty where it shall not."""
    received = os.read(line, 64)
    if received and STOP not in received:
        return ""
    return "the supervisor says so" if received else "the supervisor is gone"
