"""The facts of an explanation beside the job: its queue, the workers, its lease."""

from __future__ import annotations

import asyncio

import msgspec

from hms_svc.domain.lifecycle import State
from hms_svc.operations.explanation import JobFacts
from hms_svc.ports.inspection import Inspection


async def with_circumstances(facts: JobFacts, inspection: Inspection) -> JobFacts:
    """Return the facts with the circumstances of an unfinished job."""
    view = facts.detail.view
    if view.state not in _OPEN:
        return facts
    live, silent = await inspection.register()
    facts = msgspec.structs.replace(facts, workers=tuple(live), silent=tuple(silent))
    if view.state is State.PROCESSING:
        return msgspec.structs.replace(facts, lease_end=await inspection.lease_end(view.id))
    if view.state is State.QUEUED:
        queues, position, limit = await asyncio.gather(
            inspection.queues([view.type]),
            inspection.position(view.id),
            inspection.limit_of(view.id),
        )
        return msgspec.structs.replace(
            facts, queue=queues[0] if queues else None, position=position, limit=limit
        )
    return facts


_OPEN = frozenset({State.SCHEDULED, State.QUEUED, State.PROCESSING, State.RETRYING})
