"""Isolates a process that a handler forks from the worker.

The child has the default signal handlers, no job, and no access to the worker's
event loop or its threads.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from typing import Final

from hms_svc.sdk import job_context
from hms_svc.sdk.running_job import find_job

NO_WAY_BACK: Final = 1


class _State(threading.local):
    """The signals that a thread had blocked before it forked; None if no worker runs."""

    mask: set[int | signal.Signals] | None = None


_state: Final = _State()


def leave_if_forked(error: BaseException | None = None) -> None:
    """End this process if it is a forked child that left its handler: the job belongs to the parent.

    The exit code is that of `sys.exit`, else 1 if an error propagated out of the handler, which is printed.
    """
    if not job_context.forked:
        return
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    _leave(code)


def _leave(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(code)


def _before() -> None:
    """Block signals: until the child has its own handlers, one would be handled as the worker's."""
    if job_context.is_worker_here():
        _state.mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _after_in_parent() -> None:
    mask, _state.mask = _state.mask, None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _after_in_child() -> None:
    if _state.mask is None:
        return
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    job = find_job()
    job_context.leave_worker()
    if job is not None:
        _bar(job.loop)
    _after_in_parent()


def _bar(loop: asyncio.AbstractEventLoop) -> None:
    """Make a handler that awaits in the child end it: the loop and all waiting tasks are the parent's."""
    for handle in tuple(getattr(loop, "_ready", ())):
        handle.cancel()
    if not loop.is_closed():
        loop.call_soon(_exit_from_coroutine)


def _exit_from_coroutine() -> None:
    print("hms-svc: a forked child of a handler cannot await: it exits", file=sys.stderr)
    _leave(NO_WAY_BACK)


os.register_at_fork(
    before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
