"""Mutant: the relay marks its rows first, and dies before it publishes them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hms_svc.ports.stores import OutboxEntry
from hms_svc.runtime.outbox_relay import BATCH, OutboxRelay
from tests.chaos.app import app

__all__ = ["app"]


async def publish_nothing(entries: Sequence[OutboxEntry]) -> None:
    """Let the rows be marked."""


async def run_once(self: OutboxRelay) -> None:
    if await self._outbox.relay(BATCH, publish_nothing):
        os._exit(1)


OutboxRelay.run_once = run_once  # type: ignore[method-assign]  # a mutant replaces the method
