"""Requests to cancel a running job: they stand until the claim that they were made of has ended."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from hms_svc.brokers.sqlite.transaction import SQL, Transaction


class StoredCancelRequest(msgspec.Struct, frozen=True, gc=False):
    """Who wants the job cancelled, and why; `has_case` where the broker knows of a case of it."""

    by: str
    detail: str
    has_case: bool


WorkerRequests: TypeAlias = dict[tuple[int, int], StoredCancelRequest]


def standing_requests(transaction: Transaction) -> WorkerRequests:
    """Return the requests by row and fence of the claim; hardly ever is there one."""
    rows = transaction.connection.execute(SQL["cancellations"]).fetchall()
    return {
        (row, fence): StoredCancelRequest(by, detail, case_id is not None)
        for row, fence, by, detail, case_id in rows
    }


def forget_requests(transaction: Transaction) -> None:
    """Remove the requests whose claim has ended."""
    transaction.connection.execute(SQL["forget_cancellations"])
