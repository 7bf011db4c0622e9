"""`dao`: the case database, for plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from hms_svc.api import calls
from hms_svc.api.calls import blocking, check_inside, check_outside
from hms_svc.api.portal import block_long

if TYPE_CHECKING:
    from hms_svc.sdk.transactions import BlockingTransaction

ValueT = TypeVar("ValueT")

case_exists = blocking(
    calls.case_exists, check_inside, "dao.case_exists", "hms_svc.aio.dao.case_exists"
)
insert_case = blocking(
    calls.insert_case, check_inside, "dao.insert_case", "hms_svc.aio.dao.insert_case"
)


def transaction(write: Callable[[BlockingTransaction], ValueT], key: str = "") -> ValueT:
    """Run a plain function in a transaction of the running job, as `RunningJob.transaction` does, and block."""
    value: ValueT = block_long(lambda: calls.transaction(write, key), "job.transaction")
    return value


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

__all__ = ["case_exists", "insert_case", "outside", "transaction"]
