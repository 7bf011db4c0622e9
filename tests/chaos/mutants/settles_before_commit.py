"""Mutant: an effect is answered at once, and committed some time later."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hms_svc.persistence.effects import SqlEffects
from hms_svc.ports.stores import EffectRequest, RefusedEffect, StoredEffect
from tests.chaos.app import app

__all__ = ["app"]
_commit = SqlEffects.commit
_later: set[asyncio.Task[object]] = set()


async def commit(
    self: SqlEffects, requests: Sequence[EffectRequest]
) -> list[StoredEffect | RefusedEffect]:
    async def late() -> None:
        await asyncio.sleep(60)
        await _commit(self, requests)

    _later.add(asyncio.create_task(late()))
    return [
        StoredEffect(asked.job_id, asked.key, asked.case.id, asked.digest) for asked in requests
    ]


SqlEffects.commit = commit  # type: ignore[method-assign]  # a mutant replaces the method
