"""The suspect lane of a worker whose process must survive crashes, such as a console."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import Final

from hms_svc.processes.child_spec import ChildSpec, Role, start_child
from hms_svc.processes.supervisor import (
    DONE,
    LONGEST_PAUSE_SECONDS,
    READY,
    SHORTEST_PAUSE_SECONDS,
    end_line,
    end_text,
)
from hms_svc.runtime.worker_ids import make_worker_id

log: Final = logging.getLogger("hms_svc.runtime")


class SuspectLane:
    """Starts a child by exec when there are suspects, and another if one crashes on its job.

    The child ends by itself when no suspect is left, and when this process ends.
    """

    def __init__(self, types: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._types = types
        self._environment = environment
        self._task: asyncio.Task[None] | None = None
        self._line: socket.socket | None = None
        self._closing = False

    def need(self) -> None:
        """Start the child if it does not run: there are suspects."""
        if not self._closing and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run(), name="suspect-lane")

    def stop(self) -> None:
        """Let the child finish its job within the grace period, and do not start another."""
        self._closing = True
        end_line(self._line)

    async def wait_stopped(self) -> None:
        """Wait until no child runs."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        predecessor, pause_seconds = "", SHORTEST_PAUSE_SECONDS
        while not self._closing:
            worker_id = make_worker_id()
            received = await self._run_child(worker_id, predecessor)
            if DONE in received or self._closing:
                return
            # A child that never became ready has no leases; the one before it may have.
            predecessor = worker_id if READY in received else predecessor
            pause_seconds = SHORTEST_PAUSE_SECONDS if READY in received else pause_seconds * 2
            await asyncio.sleep(min(pause_seconds, LONGEST_PAUSE_SECONDS))

    async def _run_child(self, worker_id: str, predecessor: str) -> bytes:
        spec = ChildSpec(
            types=self._types, role=Role.SUSPECTS, worker_id=worker_id, predecessor=predecessor
        )
        process, line = start_child("hms_svc.processes.worker_main", spec, self._environment)
        received = b""
        with line:
            self._line = line
            while message := await _receive(line):
                received += message
            self._line = None
        code = await asyncio.to_thread(process.wait)
        log.log(
            logging.INFO if DONE in received else logging.ERROR,
            "the suspect lane %s",
            end_text(code),
        )
        return received


async def _receive(line: socket.socket) -> bytes:
    try:
        return await asyncio.get_running_loop().sock_recv(line, 64)
    except ConnectionError:
        return b""
