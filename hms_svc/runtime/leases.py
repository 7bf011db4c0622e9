"""Heartbeats on a separate thread: a blocked event loop loses no lease, and is detected."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import Final

from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.views import WorkerState
from hms_svc.ports.broker import LeaseKeeper, WorkerRegistration
from hms_svc.ports.clock import Clock
from hms_svc.ports.meters import UNMETERED, Meter
from hms_svc.runtime.in_flight import InFlight, Running
from hms_svc.runtime.worker_options import WorkerOptions
from hms_svc.sdk.registry import (
    Registry,
    keyed_limits_of,
    limits_of,
    priorities_of,
    slots_by_type,
)

log: Final = logging.getLogger("hms_svc.runtime")
EXIT_LOOP_STUCK: Final = 70
SHORTEST_WATCH_SECONDS: Final = 30.0
ENTRY_SECONDS: Final = 1.0
"""How often a starting worker tries to enter the register; it claims nothing before."""


class Heartbeat:
    """Renews every lease at a quarter of its length, until the job's deadline.

    A lost lease cancels its job. `registered` is set when the worker is in the register.
    If the event loop is blocked for longer than the timeout of a job, the process exits and
    other workers rescue its jobs.
    """

    def __init__(
        self,
        lease_keeper: LeaseKeeper,
        options: WorkerOptions,
        registry: Registry,
        in_flight: InFlight,
        clock: Clock,
        schedules: tuple[tuple[str, str], ...] = (),
        meter: Meter = UNMETERED,
    ) -> None:
        self._lease_keeper = lease_keeper
        self._options = options
        self._types = tuple(declared.type for declared in registry)
        self._in_flight = in_flight
        self._clock = clock
        self._schedules = schedules
        self._priorities = priorities_of(registry)
        self._limits = limits_of(registry)
        self._keyed_limits = keyed_limits_of(registry)
        self._meter = meter
        self._loop = asyncio.get_running_loop()
        self._started_at = clock.now_ms()
        self._stopped = False
        self._woken = threading.Event()
        self._state = WorkerState.WORKING if options.quiet is None else WorkerState.QUIET
        of_types = slots_by_type(registry, options.slots)
        self._type_slots = tuple(pair for pair in of_types.items() if pair[1] < options.slots)
        self._unanswered = 0
        self._is_registered = False
        self.registered = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def beat_once(self) -> None:
        """Enter the register on this thread, for a worker that runs without this one's thread."""
        try:
            self._beat()
        finally:
            self._lease_keeper.close()

    def show(self, state: WorkerState) -> None:
        """Show a new state of the worker in the register immediately."""
        self._state = state
        self._woken.set()

    async def stop(self) -> None:
        """Stop the heartbeat and release the connection."""
        self._stopped = True
        self._woken.set()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        interval = self._options.lease_seconds / 4
        while True:
            self._ping_loop()
            try:
                self._beat()
            except BrokerUnavailable as error:
                log.warning("heartbeat: %s", error)
            self._woken.wait(interval if self._is_registered else min(interval, ENTRY_SECONDS))
            if self._stopped:
                break
            if self._is_registered and not self._woken.is_set():
                self._watch_loop(interval)
            self._woken.clear()
        self._lease_keeper.close()

    def _beat(self) -> None:
        running_jobs = [running for running in self._in_flight.all() if not running.settled]
        now = self._clock.lease_ms()
        alive = [running for running in running_jobs if running.job.expires_ms > now]
        expected = [claimed.token for claimed in self._in_flight.expected()]
        if alive or expected:
            began = self._clock.lease_ms()
            lease_ms = int(self._options.lease_seconds * 1000)
            tokens = [*(running.job.claimed.token for running in alive), *expected]
            lost = {token.fence for token in self._lease_keeper.extend(tokens, lease_ms)}
            for running in alive:
                if running.job.claimed.token.fence in lost:
                    self._revoke_on_loop(running)
                else:
                    running.extend_lease(began + lease_ms)
        self._lease_keeper.register(self._registration())
        self._is_registered = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.registered.set)

    def _registration(self) -> WorkerRegistration:
        host, _, _ = self._options.worker_id.rpartition("-")
        return WorkerRegistration(
            id=self._options.worker_id,
            host=host.rpartition("-")[0],
            pid=os.getpid(),
            slots=self._options.slots,
            busy=self._in_flight.running,
            hung=len(self._in_flight.hung()),
            types=self._types,
            started_at=self._started_at,
            lane=self._options.lane,
            schedules=self._schedules,
            priorities=self._priorities,
            type_slots=self._type_slots,
            limits=self._limits,
            keyed_limits=self._keyed_limits,
            state=self._state,
        )

    def _revoke_on_loop(self, running: Running) -> None:
        def revoke() -> None:
            if running.settled or self._in_flight.find(running.job.claimed.token) is not running:
                return
            message = "job %s: the lease is lost, and the results of this run are discarded"
            log.warning(message, running.job.id, extra=running.job.log_fields)
            self._meter.lease_lost()
            running.lose_lease()

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(revoke)

    def _ping_loop(self) -> None:
        def answer() -> None:
            self._unanswered = 0

        self._unanswered += 1
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(answer)

    def _watch_loop(self, interval: float) -> None:
        """Exit if the loop has not answered for too long, counted in heartbeats.

        Time in which the whole process was stopped counts as one heartbeat at most.
        """
        silent = (self._unanswered - 1) * interval
        if silent > self._options.lease_seconds:
            stuck = ", ".join(running.job.id for running in self._in_flight.all()[:5])
            log.error("the event loop has been blocked for %.0f s; running jobs: %s", silent, stuck)
        if silent > max(self._options.timeout_seconds, SHORTEST_WATCH_SECONDS):
            os._exit(EXIT_LOOP_STUCK)
