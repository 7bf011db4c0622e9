"""Who follows is asked again and again who they are: a token that was good at first may not stay so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, TypeVar

from hms_svc.http_api.authentication import forbidden
from hms_svc.http_api.context import ApiContext
from hms_svc.operations.tokens import Scope

RECHECK_SECONDS: Final = 2.5
"""Half of five seconds: a beat that comes just too soon for a check is followed by one as late."""
ItemT = TypeVar("ItemT")


class AccessRecheck:
    """Knows whether a follower who was admitted may still look; costs no rate."""

    def __init__(self, api: ApiContext, authorization: str | None) -> None:
        self._api = api
        self._authorization = authorization
        self._loop = asyncio.get_running_loop()
        self._checked_at = self._loop.time()

    async def check(self) -> None:
        """Problem 401 or 403 where they may not any more; asked at most once in `RECHECK_SECONDS`."""
        if self._loop.time() - self._checked_at < RECHECK_SECONDS:
            return
        principal = await self._api.authentication.identify(self._authorization)
        if not principal.may(Scope.VIEW):
            raise forbidden(principal, Scope.VIEW, f"{principal.actor} may not view any more")
        self._checked_at = self._loop.time()

    async def hand_on(self, items: AsyncGenerator[ItemT]) -> AsyncGenerator[ItemT]:
        """Return the items while they may be looked at, then the Problem of `check`.

        What gives them must give one, if only a beat, as often as is to be checked.
        """
        async with aclosing(items):
            async for item in items:
                await self.check()
                yield item
