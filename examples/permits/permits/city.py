"""The other systems of the city, over HTTP: bank, messages, and the register of citizens."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx


class Declined(Exception):
    """The bank refuses the charge, and will refuse it again."""


class City:
    """What the handlers ask of them. `key` makes a repeated request harmless: they answer it once."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def charge(self, key: str, account: str, cents: int) -> str:
        """Charge an account, and return the number of the receipt."""
        answer = await self._post("/charges", key, {"account": account, "cents": cents})
        return str(answer["receipt"])

    async def message(self, key: str, to: str, text: str) -> None:
        """Send a message to one citizen."""
        await self._post("/messages", key, {"to": to, "text": text})

    async def citizens(self, ward: int, after: str) -> list[str]:
        """Return the citizens of a ward that follow one, at most 50, in their order."""
        query: dict[str, str | int] = {"ward": ward, "after": after, "limit": 50}
        answer = await self._client.get("/citizens", params=query)
        return list(answer.raise_for_status().json())

    async def complaints(self, ward: int) -> int:
        """Return how many complaints a ward has."""
        answer = await self._client.get("/complaints", params={"ward": ward})
        return int(answer.raise_for_status().json())

    async def _post(self, path: str, key: str, body: dict[str, Any]) -> Any:
        answer = await self._client.post(path, json=body, headers={"Idempotency-Key": key})
        if answer.status_code == HTTPStatus.PAYMENT_REQUIRED:
            raise Declined(answer.text)
        return answer.raise_for_status().json()
