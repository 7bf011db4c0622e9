"""The suspect lane of a worker that shares its process with something that must live on."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import Final

from hms_svc.processes.supervisor import (
    DONE,
    LONGEST_PAUSE_SECONDS,
    READY,
    SHORTEST_PAUSE_SECONDS,
    ChildSpec,
    Role,
    end_line,
    start_child,
)
from hms_svc.runtime.worker_ids import make_worker_id

log: Final = logging.getLogger("hms_svc.runtime")


class SuspectLane:
    """Starts a child by exec when there are suspects, and another where one dies of its job.

    The child ends by itself when nothing is left for it, and when this process ends.
    """

    def __init__(self, types: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._types = types
        self._environment = environment
        self._task: asyncio.Task[None] | None = None
        self._line: socket.socket | None = None
        self._closing = False

    def need(self) -> None:
        """Note that there are suspects."""
        if not self._closing and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run(), name="suspect-lane")

    def stop(self) -> None:
        """Let the child finish its job within the grace, and start no other."""
        self._closing = True
        end_line(self._line)

    async def wait_stopped(self) -> None:
        """Return when no child runs any more."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        heir_of, pause_seconds = "", SHORTEST_PAUSE_SECONDS
        while not self._closing:
            worker_id = make_worker_id()
            received = await self._run_child(worker_id, heir_of)
            if DONE in received or self._closing:
                return
            # A child that never began has left nothing behind; the one before it may have.
            heir_of = worker_id if READY in received else heir_of
            pause_seconds = SHORTEST_PAUSE_SECONDS if READY in received else pause_seconds * 2
            await asyncio.sleep(min(pause_seconds, LONGEST_PAUSE_SECONDS))

    async def _run_child(self, worker_id: str, heir_of: str) -> bytes:
        spec = ChildSpec(
            types=self._types, role=Role.SUSPECTS, worker_id=worker_id, predecessor=heir_of
        )
        process, line = start_child("hms_svc.processes.worker_main", spec, self._environment)
        received = b""
        with line:
            self._line = line
            while received := await _receive(line):
                received += received
            self._line = None
        code = await asyncio.to_thread(process.wait)
        log.log(logging.INFO if DONE in received else logging.ERROR, "the lane ended with %s", code)
        return received


async def _receive(line: socket.socket) -> bytes:
    try:
        return await asyncio.get_running_loop().sock_recv(line, 64)
    except ConnectionError:
        return b""
