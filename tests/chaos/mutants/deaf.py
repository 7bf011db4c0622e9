"""Half a mutant: a heartbeat that never hears of a lost lease, so that only fences are left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hms_svc.brokers.redis.lease_keeper import RedisLeaseKeeper
from hms_svc.brokers.sqlite.lease_keeper import SQLiteLeaseKeeper
from hms_svc.domain.job import LeaseToken
from tests.chaos.app import app

__all__ = ["app"]


def deafen(lease_keeper: type[SQLiteLeaseKeeper | RedisLeaseKeeper]) -> None:
    extend: Any = lease_keeper.extend

    def deaf(self: object, tokens: Sequence[LeaseToken], lease_ms: int) -> list[LeaseToken]:
        extend(self, tokens, lease_ms)
        return []

    lease_keeper.extend = deaf  # type: ignore[method-assign]  # a mutant replaces the method


deafen(SQLiteLeaseKeeper)
deafen(RedisLeaseKeeper)
