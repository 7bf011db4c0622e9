"""`gov`: the governance gate, for plain functions."""

from __future__ import annotations

from typing import Any

from hms_svc.facade import work
from hms_svc.facade.portal import block


def vet(action: str, payload: Any) -> None:
    """Return where governance allows the action; raise ActionDenied or ActionHeld where not."""

    async def ask() -> None:
        await (await work.gate()).vet(action, payload)

    block(ask, "hms_svc.aio.gov.vet")
