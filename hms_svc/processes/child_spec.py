"""What a child of `serve` is started with, and how it is started.

Children are started by exec, never by fork or by importing the caller's script again.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec


class Role(StrEnum):
    """The role of a child: jobs, suspects (jobs that may have crashed their worker), or HTTP."""

    WORKER = "worker"
    SUSPECTS = "suspects"
    HTTP = "http"


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The arguments of a child, beside the settings in its environment.

    `listening` is the descriptor of the socket that the HTTP server accepts from, opened
    before it starts; `reports` that of the socket for datagrams with which workers send
    their metrics to the HTTP server. -1 means none.
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
        """The descriptors that the child inherits, beside its control socket."""
        return [number for number in (self.listening, self.reports) if number >= 0]


def python_module(module: str) -> list[str]:
    """Return the command that runs a module without importing anything from the current folder."""
    return [sys.executable, "-P", "-m", module]


def start_child(
    module: str,
    spec: ChildSpec | list[ChildSpec],
    environment: Mapping[str, str],
    *,
    inherited: Sequence[int] = (),
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a module as a process in a new process group; return it with a non-blocking control socket."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        process = subprocess.Popen(
            [
                *python_module(module),
                str(theirs.fileno()),
                msgspec.json.encode(spec).decode(),
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno(), *inherited],
            process_group=0,
        )
    return process, ours
