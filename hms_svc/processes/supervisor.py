"""The supervisor of `serve`: it runs the workers, the HTTP server, and the suspect lane if needed.

Each child has one end of a socket pair: it writes a byte to report an event, reads one when it is
to stop, and reads end of file when the supervisor is gone.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from types import FrameType
from typing import Final

import msgspec
from msgspec.structs import replace

from hms_svc.processes.child_spec import ChildSpec, Role, start_child
from hms_svc.processes.first_worker import FirstWorker
from hms_svc.processes.orphans import reap_orphans
from hms_svc.processes.stop_signals import EXIT_INTERRUPTED, StopRequest, stop_signals
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
"""Exit codes of a child at its start that a restart would repeat: if the first child of a role
ends so, the service ends. A later child is restarted: it found a changed file, for example."""
OUTAGE_CODE: Final = 5
REPLACED_CODE: Final = 72
"""The exit code of a child whose open files are no longer at their paths: the service ends with
OUTAGE_CODE, so that its service manager starts it again."""
RESOURCE_CODE: Final = 73
"""The exit code of a worker that could not open a resource of its application: it is started again,
after a pause that doubles; with `--drain` the service ends with 1."""
SHORTEST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 5.0
HEALTHY_SECONDS: Final = 10.0


MODULES: Final = {
    Role.WORKER: "hms_svc.processes.worker_main",
    Role.SUSPECTS: "hms_svc.processes.worker_main",
    Role.HTTP: "hms_svc.processes.http_server_main",
}


class _Child:
    """One running process, and what it has reported."""

    def __init__(
        self,
        spec: ChildSpec,
        process: subprocess.Popen[bytes] | FirstWorker,
        line: socket.socket,
    ) -> None:
        self.spec = spec
        self.process = process
        self.line = line
        self.started = time.monotonic()
        self.ready = False
        self.done = False
        self.replaced = False
        self.leave_by = float("inf")
        self._is_asked = False

    def ask_to_end(self, number: int = 0) -> None:
        """Ask over the socket, once: a signal would count in addition to one sent to the group.

        `number` is the signal that the supervisor has received, 0 if it stops for another reason.
        """
        if not self._is_asked:
            self._is_asked = True
            send(self.line, STOP + bytes([number] if number else []))


class Supervisor:
    """Keeps the processes of one `serve` alive, and ends them together.

    With a `line` it sends READY there once, and ends when the other end is closed. `first` is a
    worker that is loaded already.
    """

    def __init__(
        self,
        settings: Settings,
        specs: list[ChildSpec],
        line: socket.socket | None = None,
        first: FirstWorker | None = None,
    ) -> None:
        self._line = line
        self._first = first
        self._environment = child_environment(settings)
        self._grace_seconds = settings.grace_seconds
        self._specs = specs
        self._children: list[_Child] = []
        self._restarts: list[tuple[float, ChildSpec]] = []
        self._pause_seconds = dict.fromkeys(Role, SHORTEST_PAUSE_SECONDS)
        self._began: set[Role] = set()
        self._selector = selectors.DefaultSelector()
        self._stop_signal = 0
        self._received = 0
        self._stop_request = StopRequest()
        self._stopping = False
        self._exit_code = 0
        self._deadline = float("inf")
        self._has_worked = False
        self._metrics: tuple[socket.socket, socket.socket] | None = None
        if any(spec.role is Role.HTTP for spec in specs):
            self._metrics = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def run(self) -> int:
        """Start the processes and supervise them; return the exit code of `serve`."""
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
        for key, _ in self._selector.select(self._seconds_to_wait()):
            if key.fileobj is reader:
                for number in reader.recv(4096):
                    self._on_signal(number)
            elif key.fileobj is self._line:
                self._read_console(self._line)
            else:
                self._read_child(key.data)
        self._reap_children()
        self._restart()
        now = time.monotonic()
        if now > self._deadline:
            self._kill_all()
        for child in self._children:
            if now > child.leave_by:
                child.process.kill()

    def _seconds_to_wait(self) -> float | None:
        moments = [moment for moment, _ in self._restarts]
        limits = [self._deadline, *(child.leave_by for child in self._children)]
        moments += [limit for limit in limits if limit != float("inf")]
        return max(0.0, min(moments) - time.monotonic()) + 0.001 if moments else None

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            return
        if not self._stop_request.is_first_or_repeated(number):
            self._exit_code = EXIT_INTERRUPTED
            self._kill_all()
            return
        if not self._stop_signal:
            self._received = number
            self._begin_to_stop(number)

    def _read_console(self, line: socket.socket) -> None:
        """Stop when the console that these workers belong to ends or asks; immediately for STOP_NOW."""
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
                    # The HTTP server has its own copy; clients must not wait on this one.
                    os.close(spec.listening)
        self._stopping = True
        self._exit_code = exit_code
        self._restarts.clear()
        self._deadline = time.monotonic() + self._grace_seconds + 10.0
        for child in self._children:
            child.ask_to_end(self._received)

    def _kill_all(self) -> None:
        self._restarts.clear()
        for child in self._children:
            child.process.kill()

    def _start(self, spec: ChildSpec) -> None:
        spec = replace(spec, worker_id=make_worker_id(), reports=self._end_of_reports(spec.role))
        child = self._child_of_first(spec) or _Child(
            spec,
            *start_child(MODULES[spec.role], spec, self._environment, inherited=spec.descriptors),
        )
        self._children.append(child)
        self._selector.register(child.line, selectors.EVENT_READ, child)

    def _child_of_first(self, spec: ChildSpec) -> _Child | None:
        """Return the first worker as the child of a spec, None if it is not there for it."""
        first = self._first
        if first is None or spec.role is not Role.WORKER:
            return None
        self._first = None
        begins = first.begin(self._environment, msgspec.json.encode(spec), spec.reports)
        if not begins:
            first.line.close()
            return None
        return _Child(spec, first, first.line)

    def _end_of_reports(self, role: Role) -> int:
        if self._metrics is None:
            return -1
        reads, writes = self._metrics
        return (reads if role is Role.HTTP else writes).fileno()

    def _read_child(self, child: _Child) -> None:
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
            self._on_stopping(child, is_dismissed=DISMISSED in received)
        if SUSPECTS in received:
            self._need_lane()

    def _on_stopping(self, child: _Child, *, is_dismissed: bool) -> None:
        """Replace a worker that stops without our request, unless an operator stopped it."""
        if self._stopping or child.spec.role is not Role.WORKER or child.spec.drain:
            return
        child.replaced = True
        child.leave_by = time.monotonic() + self._grace_seconds + 10.0
        if is_dismissed:
            log.warning("worker process %d was stopped by an operator", child.process.pid)
            return
        log.warning("worker process %d stops by itself; starting another", child.process.pid)
        self._start_later(child, replace(child.spec, predecessor=""))

    def _need_lane(self) -> None:
        if not self._has(Role.SUSPECTS) and not self._stopping:
            self._start(ChildSpec(role=Role.SUSPECTS, types=self._specs[0].types))

    def _has(self, role: Role) -> bool:
        """Return whether a child of this role runs, or is about to be started."""
        specs = [*(child.spec for child in self._children), *(spec for _, spec in self._restarts)]
        return any(spec.role is role for spec in specs)

    def _reap_children(self) -> None:
        for child in [child for child in self._children if child.process.poll() is not None]:
            if child.line.fileno() in self._selector.get_map():
                self._read_child(child)
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
        if code == RESOURCE_CODE and child.spec.drain and not self._stopping:
            self._stop(1)
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
            "%s process %d %s; starting another",
            child.spec.role,
            child.process.pid,
            end_text(code),
        )
        # A child that never became ready has no leases; the one before it may have.
        predecessor = child.spec.worker_id if child.ready else child.spec.predecessor
        successor = replace(child.spec, predecessor=predecessor or child.spec.worker_id)
        self._start_later(child, successor)

    def _start_later(self, child: _Child, successor: ChildSpec) -> None:
        role = child.spec.role
        is_lane = role is Role.SUSPECTS and child.ready
        if is_lane or time.monotonic() - child.started > HEALTHY_SECONDS:
            self._pause_seconds[role] = SHORTEST_PAUSE_SECONDS
        self._restarts.append((time.monotonic() + self._pause_seconds[role], successor))
        self._pause_seconds[role] = min(LONGEST_PAUSE_SECONDS, self._pause_seconds[role] * 2)

    def _restart(self) -> None:
        now = time.monotonic()
        for restart in [restart for restart in self._restarts if restart[0] <= now]:
            self._restarts.remove(restart)
            self._start(restart[1])


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: the signal is read from the wake-up descriptor."""


def send(line: socket.socket | None, message: bytes) -> None:
    """Send a message over a control socket; ignore a missing or closed one."""
    try:
        if line is not None:
            line.send(message)
    except OSError:
        log.debug("the other end of the control socket is closed")


def receive(line: socket.socket) -> bytes:
    """Block until the other end of a control socket sends something; return b"" if it has ended."""
    try:
        return line.recv(64)
    except ConnectionError:
        return b""


def end_line(line: socket.socket | None) -> None:
    """Ask the process at the other end of a control socket to end."""
    try:
        if line is not None:
            line.shutdown(socket.SHUT_WR)
    except OSError:
        log.debug("the other end of the control socket is closed")


def stop_reason(line: int) -> str:
    """Return why a child whose control socket became readable must stop; empty if it need not."""
    received = os.read(line, 64)
    if not received:
        return "the supervisor is gone"
    _, asked, number = received.partition(STOP)
    if not asked:
        return ""
    if not number:
        return "the supervisor requested it"
    return f"the supervisor received {signal.Signals(number[0]).name}"


def end_text(code: int | None) -> str:
    """Return how a process ended, from its `returncode`: `ended with 1`, `was ended by SIGKILL`."""
    if code is None or code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"was ended by signal {-code}"
