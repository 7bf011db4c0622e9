"""An idle worker's ear: one subscription, on which it is called by name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from hms_svc.brokers.redis.exchange import end_tasks
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.redis.poll_pace import pause_if_early
from hms_svc.domain.errors import BrokerUnavailable

_POLL_SECONDS: Final = 0.1
_NEWS: Final = b"news"
_READ_SECONDS: Final = 10.0


class IdleWaiter:
    """Lies down in the registers of its types, and is woken alone.

    A worker that cannot hear (its subscription is broken) looks ten times a second instead.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._heard = asyncio.Event()
        self._listening = False
        self._news = True
        self._task: asyncio.Task[None] | None = None
        self._rising: asyncio.Task[None] | None = None
        self._name = ""
        self._closed = False

    @property
    def must_poll(self) -> bool:
        """Whether news must be asked for."""
        return not self._listening

    def take_news(self) -> bool:
        """Return whether there was news since this was last asked."""
        news, self._news = self._news, False
        return news

    def call(self) -> None:
        """Wake up, and look at the news."""
        self._news = True
        self._heard.set()

    async def sleep(self, worker: str, lane: int, types: Sequence[str], seconds: float) -> bool:
        """Sleep until there may be work, or for so long; True where there may be."""
        self._listen(worker)
        if self.must_poll:
            await asyncio.sleep(min(seconds, _POLL_SECONDS))
            return True
        self._heard.clear()
        if await self._link.run("sleep", worker, int(seconds * 1000), lane, *types):
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            self._rising = asyncio.create_task(self._rise(worker), name=f"rise-{worker}")
            raise
        return True

    async def _rise(self, worker: str) -> None:
        """Take no call that another could take."""
        with suppress(BrokerUnavailable):
            await self._link.run("rise", worker)

    async def close(self) -> None:
        """Hear no more."""
        if self._rising is not None:
            await asyncio.wait({self._rising})
        if self._task is not None:
            self._closed = True
            await end_tasks([self._task])
            self._task, self._closed = None, False

    def _listen(self, worker: str) -> None:
        if self._task is None:
            self._name = worker
            self._task = asyncio.create_task(self._hear(), name=f"hear-{worker}")

    async def _hear(self) -> None:
        while not self._closed:
            try:
                async with self._link.waiting.pubsub() as channel:
                    await channel.subscribe(self._link.keys.ours("wake", self._name))
                    await self._follow(channel)
            except (RedisError, OSError, BrokerUnavailable):
                await asyncio.sleep(_POLL_SECONDS)
            finally:
                self._listening = False

    async def _follow(self, channel: PubSub) -> None:
        silent = False
        while True:
            asked = time.monotonic()
            message = await channel.get_message(timeout=_READ_SECONDS)
            if message is None:
                await pause_if_early(asked, _READ_SECONDS)
                if silent:
                    raise RedisConnectionError("the subscription does not answer")
                silent = True
                await channel.ping()
                continue
            silent = False
            if message["type"] == "subscribe":
                self._listening = True
                self.call()
            elif message["type"] == "message":
                self._news = self._news or message["data"] == _NEWS
                self._heard.set()
