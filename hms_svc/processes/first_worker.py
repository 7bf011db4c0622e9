"""The first worker process of `serve` starts before the settings are read, and loads its modules meanwhile.

It does nothing else until the supervisor passes settings and spec to it over its control socket,
and ends if that never happens: the settings may be wrong.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

_LENGTH_BYTES: Final = 4
_PIECE: Final = 65_536


class FirstWorker:
    """The process, which this program started, or took over from the one that it replaced."""

    def __init__(self, pid: int, line: socket.socket) -> None:
        self.pid = pid
        self.line = line
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code as `subprocess.Popen` does, None while the process runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def kill(self) -> None:
        """End the process now."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def descriptors(self) -> list[str]:
        """Return the arguments from which `taken_over` makes this worker in the program that replaces this one."""
        self.line.set_inheritable(True)
        return [str(self.pid), str(self.line.fileno())]

    def begin(self, environment: Mapping[str, str], spec: bytes, reports: int) -> bool:
        """Let the worker begin; return False if it has ended. `reports` is a descriptor for it, or -1."""
        texts = [os.fsencode(f"{name}={value}") for name, value in environment.items()]
        message = b"\0".join([spec, *texts])
        self.line.setblocking(True)
        try:
            length = len(message).to_bytes(_LENGTH_BYTES, "big")
            socket.send_fds(self.line, [length], [reports] if reports >= 0 else [])
            self.line.sendall(message)
        except OSError:
            return False
        self.line.setblocking(False)
        return True


_started: list[FirstWorker] = []


def start_first_worker() -> None:
    """Start the process; `take_first_worker` returns it."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hms_svc.processes.worker_main", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,
        )
    process.returncode = 0  # it is waited for by its pid, in the program that replaces this one
    _started.append(FirstWorker(process.pid, ours))


def take_first_worker() -> FirstWorker | None:
    """Return the process that was started, if there is one, once."""
    return _started.pop() if _started else None


def discard_first_worker() -> None:
    """End the process that was started if nobody has taken it."""
    worker = take_first_worker()
    if worker is not None:
        worker.kill()
        worker.line.close()
        with suppress(ChildProcessError):
            os.waitpid(worker.pid, 0)


def taken_over(pid: str, line: str) -> FirstWorker:
    """Return the worker that the program before this one started, from its `descriptors`."""
    control = socket.socket(fileno=int(line))
    control.set_inheritable(False)
    return FirstWorker(int(pid), control)


def wait_to_begin(line: socket.socket) -> tuple[bytes, int] | None:
    """In the worker: enter the environment that is passed, and return the spec and the descriptor.

    None if the program that started this process has ended instead.
    """
    try:
        head, descriptors, _, _ = socket.recv_fds(line, _LENGTH_BYTES, 1)
        left = int.from_bytes(head, "big")
        pieces = []
        while left and (piece := line.recv(min(left, _PIECE))):
            pieces.append(piece)
            left -= len(piece)
    except ConnectionError:
        return None
    spec, *texts = b"".join(pieces).split(b"\0")
    if left or not spec:
        return None
    os.environ.clear()
    os.environ.update(dict(os.fsdecode(text).split("=", 1) for text in texts))
    return spec, descriptors[0] if descriptors else -1
