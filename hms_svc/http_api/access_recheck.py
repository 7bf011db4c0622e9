"""Followers are authenticated again at intervals: a token that was valid at first may not stay so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, TypeVar

from hms_svc.http_api.authentication import forbidden
from hms_svc.http_api.context import ApiContext
from hms_svc.operations.tokens import Scope

RECHECK_SECONDS: Final = 2.5
"""Half of five seconds: a heartbeat just before a check is due is followed by one not much later."""
ItemT = TypeVar("ItemT")


class AccessRecheck:
    """Whether a follower who was admitted may still read; costs none of the token's rate."""

    def __init__(self, api: ApiContext, authorization: str | None) -> None:
        self._api = api
        self._authorization = authorization
        self._loop = asyncio.get_running_loop()
        self._checked_at = self._loop.time()

    async def check(self) -> None:
        """Raise Problem 401 or 403 if the token is no longer valid; checked at most once in `RECHECK_SECONDS`."""
        if self._loop.time() - self._checked_at < RECHECK_SECONDS:
            return
        principal = await self._api.authentication.identify(self._authorization)
        if not principal.may(Scope.VIEW):
            raise forbidden(principal, Scope.VIEW, f"{principal.actor} may no longer view this")
        self._checked_at = self._loop.time()

    async def pass_on(self, items: AsyncGenerator[ItemT]) -> AsyncGenerator[ItemT]:
        """Yield the items while the token is valid, then raise the Problem of `check`.

        Their source must yield an item, if only a heartbeat, as often as the token is to be checked.
        """
        async with aclosing(items):
            async for item in items:
                await self.check()
                yield item
