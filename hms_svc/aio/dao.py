"""`aio.dao`: the case database, awaitable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hms_svc.facade import work
from hms_svc.facade.portal import on_right_loop


async def case_exists(
    lat: float, lon: float, *, kind: str | None = None, radius_m: float | None = None
) -> bool:
    """Tell whether an open case stands within the radius (25 m), leaving out the job's own."""

    async def ask() -> bool:
        return await (await work.dao()).case_exists(lat, lon, kind=kind, radius_m=radius_m)

    return await on_right_loop(ask)


async def insert_case(
    data: Mapping[str, Any],
    key: str = "",
    events: Sequence[Mapping[str, Any]] = (),
    *,
    kind: str | None = None,
    urgency: int | None = None,
) -> str:
    """Open a case durably, once for (job, key), and give its id; see `handling.dao.Dao`."""

    async def insert() -> str:
        dao = await work.dao()
        return await dao.insert_case(data, key, events, kind=kind, urgency=urgency)

    return await on_right_loop(insert)
