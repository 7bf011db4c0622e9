"""`dao`: the case database, for plain functions."""

from __future__ import annotations

from hms_svc.api import calls
from hms_svc.api.calls import blocking, check_inside, check_outside

case_exists = blocking(
    calls.case_exists, check_inside, "dao.case_exists", "hms_svc.aio.dao.case_exists"
)
insert_case = blocking(
    calls.insert_case, check_inside, "dao.insert_case", "hms_svc.aio.dao.insert_case"
)


class BlockingDao:
    """The same calls without a job, also in a process that runs a worker."""

    case_exists = staticmethod(
        blocking(
            calls.case_exists,
            check_outside,
            "dao.case_exists",
            "hms_svc.aio.dao.outside.case_exists",
        )
    )
    insert_case = staticmethod(
        blocking(
            calls.insert_case,
            check_outside,
            "dao.insert_case",
            "hms_svc.aio.dao.outside.insert_case",
        )
    )


outside = BlockingDao()

__all__ = ["case_exists", "insert_case", "outside"]
