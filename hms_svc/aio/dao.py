"""`aio.dao`: the case database, awaitable."""

from __future__ import annotations

from hms_svc.api import calls
from hms_svc.api.calls import awaited, check_inside, check_outside

case_exists = awaited(calls.case_exists, check_inside, "dao.case_exists")
insert_case = awaited(calls.insert_case, check_inside, "dao.insert_case")


class AwaitableDao:
    """The same calls without a job, also in a process that runs a worker."""

    case_exists = staticmethod(awaited(calls.case_exists, check_outside, "dao.case_exists"))
    insert_case = staticmethod(awaited(calls.insert_case, check_outside, "dao.insert_case"))


outside = AwaitableDao()

__all__ = ["case_exists", "insert_case", "outside"]
