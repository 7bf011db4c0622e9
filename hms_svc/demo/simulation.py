"""Submits what the city does, on a thread and a loop of its own, until stopped."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Final, Self

from hms_svc import bootstrap
from hms_svc.demo.city import City, Deed
from hms_svc.demo.services import GRAFFITI
from hms_svc.domain.errors import Outage
from hms_svc.domain.job import make_job
from hms_svc.ports.broker import Broker
from hms_svc.services.places import Places, Position
from hms_svc.settings import Settings

log: Final = logging.getLogger("hms_svc.demo")
OUTAGE_PAUSE_SECONDS: Final = 1.0
WHY_PAUSED: Final = "the paint truck is in the workshop"


class Simulation:
    """The city at work. Use it as `with`; it ends with the block."""

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
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
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
                        seconds, deed = self._city.next()
                        await self._rest(seconds)
                        await hand_in(backend.broker, deed)
            except Outage as error:
                log.warning("the city waits: %s", error)
                await self._rest(OUTAGE_PAUSE_SECONDS)

    async def _open_the_day(self, broker: Broker) -> None:
        for deed in self._city.opening():
            await hand_in(broker, deed)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return


async def hand_in(broker: Broker, deed: Deed) -> None:
    """Enqueue what a deed stands for."""
    if deed.raw:
        await broker.enqueue_raw(deed.type, [deed.raw])
        return
    now_ms = int(time.time() * 1000)
    due_ms = now_ms + int(deed.delay_seconds * 1000) if deed.delay_seconds else None
    job = make_job(
        deed.type, deed.data, now_ms=now_ms, not_before=due_ms, max_attempts=deed.max_attempts
    )
    await broker.enqueue([job])


def city_spots(settings: Settings) -> list[Position]:
    """Return the points of the city's places, around which things happen."""
    places = Places(settings.places_file).load().places
    return [point for place in places for line in place.ways for point in line]
