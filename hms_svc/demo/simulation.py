"""Submits the events of the city, on its own thread and loop, until stopped."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Final, Self

from hms_svc import bootstrap
from hms_svc.demo.city import City, Submission
from hms_svc.demo.services import GRAFFITI
from hms_svc.domain.errors import Outage
from hms_svc.domain.job import make_job
from hms_svc.ports.broker import Broker
from hms_svc.services.places import Places, Position
from hms_svc.settings import Settings

log: Final = logging.getLogger("hms_svc.demo")
OUTAGE_PAUSE_SECONDS: Final = 1.0
END_SECONDS: Final = 5.0
WHY_PAUSED: Final = "the paint truck is in the workshop"


class Simulation:
    """The running city. Use it as a context manager; it stops with the block."""

    def __init__(self, settings: Settings, *, seed: int, rate: float, began: float) -> None:
        self._settings = settings
        spots = city_spots(settings)
        self._city = City(spots, seed=seed, rate=rate, began_ms=int(began * 1000))
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="demo-city", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it; a thread that does not end in time ends with the process.

        A signal that interrupts an import of the main thread can leave it waiting for that import.
        """
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(END_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        while not self._stop.is_set():
            try:
                async with bootstrap.backend(self._settings) as backend:
                    await backend.control.pause(GRAFFITI, by="demo", reason=WHY_PAUSED)
                    await self._open_the_day(backend.broker)
                    while not self._stop.is_set():
                        seconds, submission = self._city.next()
                        await self._rest(seconds)
                        await submit(backend.broker, submission)
            except Outage as error:
                log.warning("the city waits: %s", error)
                await self._rest(OUTAGE_PAUSE_SECONDS)

    async def _open_the_day(self, broker: Broker) -> None:
        for submission in self._city.opening():
            await submit(broker, submission)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return


async def submit(broker: Broker, submission: Submission) -> None:
    """Enqueue the job of a submission."""
    if submission.raw:
        await broker.enqueue_raw(submission.type, [submission.raw])
        return
    now_ms = int(time.time() * 1000)
    due_ms = now_ms + int(submission.delay_seconds * 1000) if submission.delay_seconds else None
    job = make_job(
        submission.type,
        submission.data,
        now_ms=now_ms,
        not_before=due_ms,
        max_attempts=submission.max_attempts,
    )
    await broker.enqueue([job])


def city_spots(settings: Settings) -> list[Position]:
    """Return the points of the city's places, around which events happen."""
    places = Places(settings.places_file).load().places
    return [point for place in places for line in place.ways for point in line]
