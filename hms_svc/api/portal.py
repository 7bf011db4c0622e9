"""The portal from blocking code to the event loop that does the work."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hms_svc import bootstrap
from hms_svc.api.loop_broker import LoopBrokers
from hms_svc.domain.backend_url import BackendKind
from hms_svc.domain.errors import HmsError, WrongThread
from hms_svc.ports.backend import Backend
from hms_svc.ports.broker import Broker
from hms_svc.ports.clock import Clock, SystemClock
from hms_svc.sdk.running_job import find_job
from hms_svc.sdk.standard_streams import provide_standard_streams
from hms_svc.settings import Settings, load_settings

if TYPE_CHECKING:
    from hms_svc.api.job_service import JobService
    from hms_svc.ports.database import Database
    from hms_svc.ports.policy import Policy
    from hms_svc.sdk.dao import Dao
    from hms_svc.sdk.governance_gate import Gate

Result = TypeVar("Result")
SERVERS: Final = (BackendKind.REDIS, BackendKind.SENTINEL)
"""Brokers to which a process may have any number of connections."""
CLOSE_SECONDS: Final = 5.0
"""How long a close waits for the calls under way; those that are left are interrupted."""
_here = threading.local()


class _PortalClosed(Exception):
    """The portal takes no more calls."""


class Portal:
    """A loop on its own thread, with broker and database opened on first use.

    Without a `policy` it is that of the settings, loaded on first use.
    """

    def __init__(
        self, settings: Settings, clock: Clock | None = None, policy: Policy | None = None
    ) -> None:
        provide_standard_streams()
        self.settings = settings
        self.clock = clock or SystemClock()
        self._backend: Backend | None = None
        self._database: Database | None = None
        self._dao: Dao | None = None
        self._gate: Gate | None = None
        self._policy = policy
        self._jobs: tuple[Backend, JobService] | None = None
        self._loop_brokers = LoopBrokers(settings) if settings.broker.kind in SERVERS else None
        self._loop = asyncio.new_event_loop()
        self._opening = asyncio.Lock()
        self.delivering = asyncio.Lock()
        """Held while a producer delivers the outbox: two at once would deliver the same rows."""
        self._closing: set[asyncio.Task[None]] = set()
        self._calls: set[Future[Any]] = set()
        self._guard = threading.Lock()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="hms-svc", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        _here.portal = self
        self._loop.run_forever()

    def submit(
        self, work: Coroutine[Any, Any, Result], *, is_bounded: bool = True
    ) -> Future[Result]:
        """Run a coroutine on the portal's loop. Raises _PortalClosed once a close has begun.

        A close waits for those that are bounded; what it does not wait for ends with HmsError.
        """
        with self._guard:
            if self._is_closing:
                work.close()
                raise _PortalClosed
            future = asyncio.run_coroutine_threadsafe(self._finish(work), self._loop)
            if is_bounded:
                self._calls.add(future)
        if is_bounded:
            future.add_done_callback(self._calls.discard)
        return future

    async def _finish(self, work: Coroutine[Any, Any, Result]) -> Result:
        try:
            return await work
        except asyncio.CancelledError:
            if not self._is_closing:
                raise
        raise HmsError("hms_svc.close() was called while this call was under way")

    async def broker_here(self) -> Broker | None:
        """Return the broker of the running loop; None if calls have to go to the portal's loop.

        An embedded broker is open once only, on the portal's loop.
        """
        return None if self._loop_brokers is None else await self._loop_brokers.find()

    def leave_loops(self) -> None:
        """Close the brokers of other loops."""
        if self._loop_brokers is not None:
            self._loop_brokers.close()

    async def backend(self) -> Backend:
        """Return the open broker; reopened if its file was replaced."""
        async with self._opening:
            if self._backend is None:
                await self._wait_closed()
                backend = bootstrap.backend(
                    self.settings, self.clock, on_replaced=self._leave_backend
                )
                await self._open(backend)
                self._backend = backend
        return self._backend

    async def dao(self) -> Dao:
        """Return a DAO for use outside of jobs."""
        from hms_svc.sdk.dao import Dao

        database = await self.open_database()
        if self._dao is None:
            self._dao = Dao(
                cases=database.cases,
                reports=database.reports,
                effects=database.effects,
                clock=self.clock,
                radius_m=self.settings.case_radius_m,
                actor=self.settings.actor,
            )
        return self._dao

    async def jobs(self) -> JobService:
        """Return what handles of jobs read and act with."""
        from hms_svc.api.job_service import JobService

        backend = await self.backend()
        if self._jobs is None or self._jobs[0] is not backend:
            service = JobService(
                inspection=backend.inspection,
                control=backend.control,
                bus=backend.bus,
                clock=self.clock,
                actor=self.settings.actor,
                unserved_days=self.settings.unserved_days,
                lease_seconds=self.settings.lease_seconds,
                open_database=self.open_database,
            )
            self._jobs = backend, service
        return self._jobs[1]

    async def gate(self) -> Gate:
        """Return a governance gate for use outside of jobs."""
        from hms_svc.sdk.governance_gate import Gate

        if self._gate is None:
            self._policy = self._policy or bootstrap.policy(self.settings)
            self._gate = Gate(self._policy)
        return self._gate

    async def open_database(self) -> Database:
        """Return the open database; reopened if its file was replaced."""
        async with self._opening:
            if self._database is None:
                await self._wait_closed()
                database = bootstrap.database(
                    self.settings, self.clock, on_replaced=self._leave_database
                )
                await self._open(database)
                self._database = database
        return self._database

    async def _open(self, engine: Backend | Database) -> None:
        """Open a broker or a database; if the caller is cancelled meanwhile, its threads and files do not stay."""
        try:
            await engine.open()
        except asyncio.CancelledError:
            self._begin_to_close(engine.close())
            raise

    def _leave_backend(self) -> None:
        left, self._backend = self._backend, None
        if left is not None:
            self._begin_to_close(left.close())

    def _leave_database(self) -> None:
        left, self._database, self._dao = self._database, None, None
        if left is not None:
            self._begin_to_close(left.close())

    def _begin_to_close(self, closing: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _wait_closed(self) -> None:
        if self._closing:
            await asyncio.wait(self._closing)

    def close(self) -> None:
        """Wait for the bounded calls, close what was opened, and end the thread."""
        with self._guard:
            self._is_closing = True
        wait(self._calls.copy(), CLOSE_SECONDS)
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        if self._policy is not None:
            await self._policy.close()
        if self._database is not None:
            await self._database.close()
        if self._backend is not None:
            await self._backend.close()
        await self._wait_closed()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


_portal: Portal | None = None
_lent: Portal | None = None
_lock = threading.Lock()


def portal() -> Portal:
    """Return the portal of this process, started with the settings of its environment.

    On a portal's own thread it is that one, also while it is closed.
    """
    global _portal
    if (present := getattr(_here, "portal", None) or _lent or _portal) is not None:
        return present
    with _lock:
        if _portal is None:
            _portal = Portal(load_settings().settings)
            atexit.register(close)
        return _portal


@contextmanager
def lend(lent: Portal) -> Iterator[None]:
    """While the block runs, this portal is that of the process, and `close` leaves it open."""
    global _lent
    before, _lent = _lent, lent
    try:
        yield
    finally:
        _lent = before


def now_ms() -> int:
    """Return the Unix milliseconds of a job that is made here."""
    return time.time_ns() // 1_000_000 if _lent is None else _lent.clock.now_ms()


def close() -> None:
    """Close the broker and the database that this process has opened outside of jobs.

    Blocks until calls under way have finished (5 s at most) and all is closed; the next call opens them anew, with the settings of that moment.
    It does nothing if nothing is open.
    """
    global _portal
    if _lent is not None:
        return
    if (present := _portal) is not None:
        present.leave_loops()  # before the lock is held: a task of such a loop may wait for it
    with _lock:
        if _portal is not None:
            closing, _portal = _portal, None
            closing.close()


def _forget_portal() -> None:
    """Forget the parent's portal in a forked child, which does not have its thread."""
    global _portal, _lent, _lock
    _portal, _lent, _lock = None, None, threading.Lock()


os.register_at_fork(after_in_child=_forget_portal)


def block(work: Callable[[], Awaitable[Result]], counterpart: str) -> Result:
    """Run `work` to its end on the right loop: the job's own, or the portal's.

    Raises WrongThread on a thread whose event loop runs, naming the awaitable
    `counterpart`.
    """
    refuse_running_loop(counterpart)
    job = find_job()

    async def run() -> Result:
        return await work()

    if job is not None:
        return asyncio.run_coroutine_threadsafe(run(), job.loop).result()
    return submit(run).result()


def block_long(
    work: Callable[[], Awaitable[Result]], counterpart: str, *, is_bounded: bool = False
) -> Result:
    """Run `work` as `block` does, and cancel it if this thread is interrupted.

    Neither the end of a run nor, unless it is bounded, a close waits for it.
    """
    refuse_running_loop(counterpart)
    job = find_job()

    async def run() -> Result:
        return await work()

    if job is None:
        waiting = submit(run, is_bounded=is_bounded)
    else:
        waiting = asyncio.run_coroutine_threadsafe(run(), job.loop)
        job.awaited = waiting
    try:
        return waiting.result()
    except CancelledError:
        raise asyncio.CancelledError from None
    finally:
        waiting.cancel()  # if this thread was interrupted
        if job is not None:
            job.awaited = None


def submit(
    make: Callable[[], Coroutine[Any, Any, Result]], *, is_bounded: bool = True
) -> Future[Result]:
    """Run what `make` makes on the loop of the portal, or of the next one if it is being closed."""
    while True:
        with suppress(_PortalClosed):
            return portal().submit(make(), is_bounded=is_bounded)


def refuse_running_loop(counterpart: str) -> None:
    """Raise WrongThread on a thread whose event loop runs, naming the awaitable `counterpart`."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WrongThread(f"this would block the running event loop: await {counterpart} instead")


async def on_portal(coroutine: Coroutine[Any, Any, Result], /) -> Result:
    """Await a coroutine of a stream, which belongs to the portal's loop."""
    return await asyncio.wrap_future(follow(coroutine))


def follow(coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
    """Run a coroutine of a stream on the portal's loop; a close does not wait for it."""
    try:
        return portal().submit(coroutine, is_bounded=False)
    except _PortalClosed:
        raise HmsError("hms_svc.close() was called: open the stream again") from None


async def on_right_loop(
    work: Callable[[], Awaitable[Result]], *, is_bounded: bool = True
) -> Result:
    """Await `work` here inside a job, and on the portal's loop outside of one.

    A close of the portal waits for what is bounded.
    """
    job = find_job()

    async def run() -> Result:
        return await work()

    if job is not None:
        if job.loop is asyncio.get_running_loop():
            return await work()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), job.loop))
    context = contextvars.copy_context()
    return await asyncio.wrap_future(context.run(lambda: submit(run, is_bounded=is_bounded)))
