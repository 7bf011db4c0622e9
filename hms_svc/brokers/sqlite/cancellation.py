"""Requests to cancel a running job: they are stored until its claim has ended."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from hms_svc.brokers.sqlite.transaction import SQL, FileTransaction


class StoredCancelRequest(msgspec.Struct, frozen=True, gc=False):
    """A cancel request: who made it, and why. `has_case` is True if the broker knows a case of the job."""

    by: str
    detail: str
    has_case: bool


CancelRequests: TypeAlias = dict[tuple[int, int], StoredCancelRequest]


def open_requests(transaction: FileTransaction) -> CancelRequests:
    """Return the requests by row and fence of the claim; there are rarely any."""
    rows = transaction.connection.execute(SQL["cancellations"]).fetchall()
    return {
        (row, fence): StoredCancelRequest(by, detail, case_id is not None)
        for row, fence, by, detail, case_id in rows
    }


def forget_requests(transaction: FileTransaction) -> None:
    """Remove the requests whose claim has ended."""
    transaction.connection.execute(SQL["forget_cancellations"])
