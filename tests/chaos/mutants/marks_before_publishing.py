"""Mutant: the relay marks its rows first, and dies before it publishes them."""

from __future__ import annotations

import os

from hms_svc.runtime.outbox_relay import BATCH, OutboxRelay
from tests.chaos.app import app

__all__ = ["app"]


async def run_once(self: OutboxRelay) -> None:
    entries = await self._outbox.waiting(BATCH)
    if entries:
        await self._outbox.mark_published([entry.number for entry in entries])
        os._exit(1)


OutboxRelay.run_once = run_once  # type: ignore[method-assign]
