"""Notifications for an idle worker: one subscription on a channel with its name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from hms_svc.brokers.redis import worker_calls
from hms_svc.brokers.redis.exchange import end_tasks
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.redis.poll_pace import pause_if_early
from hms_svc.domain.errors import BrokerUnavailable

_POLL_SECONDS: Final = 0.1
_NEWS: Final = b"news"
_READ_SECONDS: Final = 10.0


class IdleWaiter:
    """Registers an idle worker under its types, so that one worker is notified for each job.

    While its subscription is not made or broken, the worker polls ten times a second instead, and once when it is made.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._notified = asyncio.Event()
        self._is_subscribed = False
        self._news = True
        self._task: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._name = ""
        self._closed = False

    @property
    def must_poll(self) -> bool:
        """Whether the worker has to poll because it is not subscribed."""
        return not self._is_subscribed

    def take_news(self) -> bool:
        """Return whether there was news since the last call."""
        news, self._news = self._news, False
        return news

    def notify(self) -> None:
        """Wake up and poll for signals."""
        self._news = True
        self._notified.set()

    async def wait(
        self, worker: str, types: Sequence[str], seconds: float, *, suspects: bool
    ) -> bool:
        """Wait until there may be work, or for `seconds`; return True if there may be work."""
        self._start(worker)
        self._notified.clear()
        if self.must_poll:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, _POLL_SECONDS)):
                    await self._notified.wait()
            return True
        most_ms = int(seconds * 1000)
        wait_ms = await self._link.run(
            worker_calls.sleep(worker, most_ms=most_ms, suspects=suspects, types=types)
        )
        if not wait_ms:
            return True
        try:
            async with asyncio.timeout(min(seconds, wait_ms / 1000)):
                await self._notified.wait()
        except TimeoutError:
            return wait_ms < most_ms
        except asyncio.CancelledError:
            self._ending = asyncio.create_task(self._end_sleep(worker), name=f"end-sleep-{worker}")
            raise
        return True

    async def _end_sleep(self, worker: str) -> None:
        """Leave the registers, so that another worker is notified instead."""
        with suppress(BrokerUnavailable):
            await self._link.run(worker_calls.end_sleep(worker))

    async def close(self) -> None:
        """End the subscription."""
        if self._ending is not None:
            await asyncio.wait({self._ending})
        if self._task is not None:
            self._closed = True
            await end_tasks([self._task])
            self._task, self._closed = None, False

    def _start(self, worker: str) -> None:
        if self._task is None:
            self._name = worker
            self._task = asyncio.create_task(self._subscribe(), name=f"subscription-{worker}")

    async def _subscribe(self) -> None:
        while not self._closed:
            try:
                async with self._link.waiting.pubsub() as channel:
                    await channel.subscribe(self._link.keys.ours("wake", self._name))
                    await self._follow(channel)
            except (RedisError, OSError, BrokerUnavailable):
                await asyncio.sleep(_POLL_SECONDS)
            finally:
                self._is_subscribed = False

    async def _follow(self, channel: PubSub) -> None:
        silent = False
        while True:
            started = time.monotonic()
            message = await channel.get_message(timeout=_READ_SECONDS)
            if message is None:
                await pause_if_early(started, _READ_SECONDS)
                if silent:
                    raise RedisConnectionError("the subscription does not answer")
                silent = True
                await channel.ping()
                continue
            silent = False
            if message["type"] == "subscribe":
                self._is_subscribed = True
                self.notify()
            elif message["type"] == "message":
                self._news = self._news or message["data"] == _NEWS
                self._notified.set()
