"""Mutant: what was pushed is taken out of its list first, and written down some time later."""

from __future__ import annotations

import asyncio
from typing import Any

from hms_svc.brokers.redis.acceptance import Acceptor
from hms_svc.brokers.redis.intake import Intake
from tests.chaos.app import app

__all__ = ["app"]
_later: set[asyncio.Task[object]] = set()


async def watch(self: Intake, type: str) -> None:
    async def late(item: Any) -> None:
        await asyncio.sleep(60)
        await Acceptor(self._link).enqueue_raw(type, [item])

    while not self._closed:
        popped = await self._link.waiting.brpop([self._link.keys.intake(type)], 5)
        if popped:
            _later.add(asyncio.create_task(late(popped[1])))


assert callable(Intake._watch)
Intake._watch = watch  # type: ignore[method-assign]  # a mutant replaces the method
