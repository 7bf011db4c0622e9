"""Half a mutant: a heartbeat that never hears of a lost lease, so that only fences are left."""

from __future__ import annotations

from collections.abc import Sequence

from hms_svc.brokers.sqlite.heart import SQLiteHeart
from hms_svc.domain.job import LeaseToken
from tests.chaos.app import app

__all__ = ["app"]
_extend = SQLiteHeart.extend


def extend(self: SQLiteHeart, tokens: Sequence[LeaseToken], lease_ms: int) -> list[LeaseToken]:
    _extend(self, tokens, lease_ms)
    return []


SQLiteHeart.extend = extend  # type: ignore[method-assign]
