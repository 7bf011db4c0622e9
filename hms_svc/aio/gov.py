"""`aio.gov`: the governance gate, awaitable."""

from __future__ import annotations

from typing import Any

from hms_svc.facade import work
from hms_svc.facade.portal import on_right_loop


async def vet(action: str, payload: Any) -> None:
    """Return where governance allows the action; raise ActionDenied or ActionHeld where not."""

    async def ask() -> None:
        await (await work.gate()).vet(action, payload)

    await on_right_loop(ask)
