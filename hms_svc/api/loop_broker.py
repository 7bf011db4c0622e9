"""The broker of an event loop that submits jobs: no other thread takes part in its calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

from hms_svc import bootstrap
from hms_svc.ports.backend import Backend
from hms_svc.ports.broker import Broker
from hms_svc.settings import Settings

FIRST_CALLS: Final = 3
"""Calls that are left to the portal: a loop that ends soon is not worth connections of its own."""
_CLOSE_SECONDS: Final = 5.0


class LoopBroker:
    """The broker of one loop, opened after the first calls, and closed with the loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._calls = 0
        self._opening = asyncio.Lock()
        self._backend: Backend | None = None
        self._guard: AsyncGenerator[None, None] | None = None

    async def find(self) -> Broker | None:
        """Return the open broker; None if the call is left to the portal."""
        if self._backend is None:
            self._calls += 1
            if self._calls <= FIRST_CALLS:
                return None
            async with self._opening:
                await self._open()
        return None if self._backend is None else self._backend.broker

    async def _open(self) -> None:
        if self._backend is not None:
            return
        backend = bootstrap.backend(self._settings)
        await backend.open()
        # A loop that ends closes its asynchronous generators, and so this broker.
        self._guard = self._keep_open(backend)
        await anext(self._guard)

    async def _keep_open(self, backend: Backend) -> AsyncGenerator[None, None]:
        self._backend = backend
        try:
            yield
        finally:
            self._backend = None
            await backend.close()

    async def close(self) -> None:
        """Close the broker."""
        if self._guard is not None:
            await self._guard.aclose()


class LoopBrokers:
    """The brokers of the loops of this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of_loops: dict[asyncio.AbstractEventLoop, LoopBroker] = {}

    async def find(self) -> Broker | None:
        """Return the broker of the running loop; None if the call is left to the portal."""
        loop = asyncio.get_running_loop()
        found = self._of_loops.get(loop)
        if found is None:
            for other in [other for other in self._of_loops if other.is_closed()]:
                self._of_loops.pop(other, None)
            found = self._of_loops[loop] = LoopBroker(self._settings)
        return await found.find()

    def close(self) -> None:
        """Close those of running loops: wait for other threads, but not for this thread's own loop."""
        of_loops, self._of_loops = self._of_loops, {}
        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        for loop, broker in of_loops.items():
            if loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(broker.close(), loop)
                if loop is not here:
                    _wait(closing)


def _wait(closing: Future[None]) -> None:
    with suppress(TimeoutError):  # the loop ended before it could
        closing.result(_CLOSE_SECONDS)
