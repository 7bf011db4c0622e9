"""Which attempt is in progress here, and whether a call without one is refused in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from hms_svc.domain.errors import NoActiveJob
from hms_svc.sdk.attempt import Attempt

running: Final[ContextVar[Attempt | None]] = ContextVar("hms_svc_job", default=None)
find_attempt = running.get


_workers = 0
forked = False
"""Whether this process was forked from one with a worker: a variable, since each job checks it."""


def is_worker_here() -> bool:
    """Return whether a worker runs in this process, or ran in the one that forked it."""
    return _workers > 0


def leave_worker() -> None:
    """Forget, in a forked child, the job that runs in the parent."""
    global forked
    forked = True
    running.set(None)


@contextmanager
def worker_running() -> Iterator[None]:
    """While the block runs, reject calls of the public API without a job in this process."""
    global _workers
    _workers += 1
    try:
        yield
    finally:
        _workers -= 1


def require_job(name: str) -> None:
    """Raise NoActiveJob for a call without a job in a process that runs a worker."""
    if forked:
        raise NoActiveJob(
            f"{name}: this process was forked by a handler, and the job belongs to its parent: return the "
            "result to the parent, and call it there. To call it without a job on purpose: "
            f"{outside_name(name)}"
        )
    if _workers:
        raise NoActiveJob(
            f"{name}: no job is running on this thread, and this process runs a worker: call it "
            "inside a handler; a thread that a handler starts has its job if it runs in "
            f"contextvars.copy_context(). To call it without a job on purpose: {outside_name(name)}"
        )


def outside_name(name: str) -> str:
    """Return the name of the call that needs no job: `dao.outside.insert_case` for `dao.insert_case`."""
    module, _, call = name.rpartition(".")
    return f"{module}.outside.{call}"
