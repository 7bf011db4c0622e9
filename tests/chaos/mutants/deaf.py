"""Half a mutant: a heartbeat that never hears of a lost lease, so that only fences are left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hms_svc.brokers.redis.heart import RedisHeart
from hms_svc.brokers.sqlite.heart import SQLiteHeart
from hms_svc.domain.job import LeaseToken
from tests.chaos.app import app

__all__ = ["app"]


def deafen(heart: type[SQLiteHeart | RedisHeart]) -> None:
    extend: Any = heart.extend

    def deaf(self: object, tokens: Sequence[LeaseToken], lease_ms: int) -> list[LeaseToken]:
        extend(self, tokens, lease_ms)
        return []

    heart.extend = deaf  # type: ignore[method-assign]


deafen(SQLiteHeart)
deafen(RedisHeart)
