"""Threads for plain functions: as few active as keep up, so that short handlers cost little."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from hms_svc.sdk import job_context
from hms_svc.sdk.fork_guard import leave_if_forked

STALL_SECONDS: Final = 0.002
"""How long the active threads may make no progress before more are woken."""

Done = Callable[[Any, BaseException | None], None]
Work = tuple[contextvars.Context, Callable[[], Any], Done]


class PlainThreads:
    """Runs plain functions on at most `size` threads, and reports their results in batches.

    Waking a thread for each short function makes all threads compete for the
    interpreter. Here one active thread runs function after function; while it is blocked
    in one of them, others are woken, doubling their number each time.
    """

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop) -> None:
        self._size = size
        self._loop = loop
        self._work: deque[Work] = deque()
        self._done: deque[tuple[Done, Any, BaseException | None]] = deque()
        self._wakes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._active = 0
        self._taken = 0
        self._seen = 0
        self._lock = threading.Lock()
        self._reporting = False
        self._closed = False
        self._watch: asyncio.TimerHandle | None = None
        self.on_reported: Callable[[], None] | None = None
        """Called on the loop once for all results that were reported together."""

    @property
    def busy(self) -> int:
        """The number of threads that run a function or are about to take one."""
        return self._active

    def submit(self, context: contextvars.Context, function: Callable[[], Any], done: Done) -> None:
        """Run the function in the context; `done(result, error)` is called on the loop."""
        self._work.append((context, function, done))
        with self._lock:
            all_idle = self._active == 0
        if all_idle:
            self._wake_threads(1)
        if self._watch is None:
            self._watch = self._loop.call_later(STALL_SECONDS, self._check)

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run one function in a copy of the current context and return its result.

        A thread cannot be stopped: until `close`, a cancelled caller keeps waiting and gets the
        result; it can check `asyncio.Task.cancelling`.
        """
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if isinstance(error, StopIteration):
                future.set_exception(RuntimeError(f"raised StopIteration: {error}"))
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.submit(contextvars.copy_context(), lambda: function(*arguments), done)
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError:
                if self._closed:
                    raise
        return future.result()

    def close(self) -> None:
        """End idle threads; busy ones end with their function."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        for _ in self._threads:
            self._wakes.put(False)

    def _check(self) -> None:
        self._watch = None
        if not self._work:
            return
        if self._taken == self._seen or self._active == 0:
            self._wake_threads(max(1, self._active))
        self._seen = self._taken
        self._watch = self._loop.call_later(STALL_SECONDS, self._check)

    def _wake_threads(self, count: int) -> None:
        with self._lock:
            count = min(count, self._size - self._active, len(self._work))
            self._active += max(0, count)
        while len(self._threads) < self._active:
            name = f"handler-{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        for _ in range(count):
            self._wakes.put(True)

    def _run(self) -> None:
        while self._wakes.get():
            while True:
                try:
                    context, function, done = self._work.popleft()
                except IndexError:
                    if self._become_idle():
                        break
                    continue
                self._taken += 1
                try:
                    result, error = context.run(function), None
                except BaseException as raised:  # noqa: BLE001 - becomes the outcome
                    result, error = None, raised
                if job_context.forked:
                    leave_if_forked(error)
                self._report(done, result, error)

    def _become_idle(self) -> bool:
        with self._lock:
            if self._work:
                return False
            self._active -= 1
            return True

    def _report(self, done: Done, result: Any, error: BaseException | None) -> None:
        self._done.append((done, result, error))
        if not self._reporting:
            self._reporting = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                self._reporting = False

    def _deliver(self) -> None:
        self._reporting = False
        try:
            while self._done:
                done, result, error = self._done.popleft()
                done(result, error)
        finally:
            if self._done:
                self._loop.call_soon(self._deliver)
            if self.on_reported is not None:
                self.on_reported()
