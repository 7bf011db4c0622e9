"""The workers of this process: for what a handler calls that needs more engines than its job has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hms_svc.runtime.worker_options import Engines, WorkerOptions


class WorkerHere:
    """A worker of this process, with its engines and options, which belong to its loop."""

    def __init__(self, engines: Engines, options: WorkerOptions) -> None:
        self.engines = engines
        self.options = options
        self.loop = asyncio.get_running_loop()


_workers: Final[list[WorkerHere]] = []


@contextmanager
def working_here(engines: Engines, options: WorkerOptions) -> Iterator[None]:
    """While the block runs, let handlers of a worker on the running loop find its engines."""
    worker = WorkerHere(engines, options)
    _workers.append(worker)
    try:
        yield
    finally:
        _workers.remove(worker)


def worker_on(loop: asyncio.AbstractEventLoop) -> WorkerHere | None:
    """Return a worker that runs on this loop; all on one loop work for one installation."""
    return next((worker for worker in _workers if worker.loop is loop), None)
