"""`dao`: the case database, for plain functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hms_svc.facade import work
from hms_svc.facade.portal import block


class Calls:
    """The blocking calls, checked first; `name` is that of their awaitable counterparts."""

    def __init__(self, check: Callable[[str], None], name: str) -> None:
        self._check = check
        self._name = name

    def case_exists(
        self, lat: float, lon: float, *, kind: str | None = None, radius_m: float | None = None
    ) -> bool:
        """Return whether an open case stands within the radius (25 m), leaving out the job's own."""
        self._check("dao.case_exists")

        async def ask() -> bool:
            dao = await work.dao()
            return await dao.case_exists(lat, lon, kind=kind, radius_m=radius_m)

        return block(ask, f"{self._name}.case_exists")

    def insert_case(
        self,
        data: Mapping[str, Any],
        key: str = "",
        events: Sequence[Mapping[str, Any]] = (),
        *,
        kind: str | None = None,
        urgency: int | None = None,
    ) -> str:
        """Open a case durably, once for (job, key), and return its id; see `handling.dao.Dao`."""
        self._check("dao.insert_case")

        async def insert() -> str:
            dao = await work.dao()
            return await dao.insert_case(data, key, events, kind=kind, urgency=urgency)

        return block(insert, f"{self._name}.insert_case")


_of_job = Calls(work.check_inside, "hms_svc.aio.dao")
case_exists = _of_job.case_exists
insert_case = _of_job.insert_case
outside = Calls(work.check_outside, "hms_svc.aio.dao.outside")
"""The same calls for no job, also in a process that runs a worker."""
