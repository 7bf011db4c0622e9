"""Closing a batch that its producer left open."""

from __future__ import annotations

from hms_svc.domain.batches import BatchState, BatchView
from hms_svc.domain.errors import Refused, UnknownId
from hms_svc.operations.action_table import AUDITED
from hms_svc.operations.bulk import BulkActs
from hms_svc.ports.control import BATCH_IS_CLOSED, BATCH_IS_WHOLE, NOT_KNOWN, ClosedBatch

_CLOSE = AUDITED["close-batch"]


class BatchActs(BulkActs):
    """Close batches."""

    async def plan_close(self, batch_id: str) -> BatchView:
        """Return an open batch as it is; nothing is done yet.

        UnknownId for an unknown batch, Refused for one that is not open.
        """
        self._journal.check_allowed(_CLOSE)
        found = await self._reads.batch(batch_id)
        if found.state is BatchState.OPEN:
            return found
        by = found.closed_by
        raise _refused(batch_id, BATCH_IS_CLOSED.format(by=by) if by else BATCH_IS_WHOLE)

    async def close_batch(self, batch_id: str, *, note: str = "") -> ClosedBatch:
        """Declare that a batch gets no more members than it has. Raises as `plan_close`."""
        await self.plan_close(batch_id)
        # In the audit log `batch:` begins the subject of an action on many jobs.
        subject = f"submitted-batch:{batch_id}"
        await self._journal.intend(_CLOSE, subject, {"note": note})
        closed = await self._control.close_batch(batch_id, by=self._journal.actor)
        done = {"done": True, "accepted": closed.accepted, "left_out": closed.left_out}
        outcome = {"done": False, "why": closed.why} if closed.why else done
        await self._journal.conclude(_CLOSE, [(subject, outcome)])
        if closed.why == NOT_KNOWN:
            raise UnknownId(f"no batch with id {batch_id!r}")
        if closed.why:
            raise _refused(batch_id, closed.why)
        return closed


def _refused(batch_id: str, why: str) -> Refused:
    return Refused(f"batch {batch_id} {why}")
