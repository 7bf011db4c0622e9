"""What surrounds an application's statements in a job's transaction: fence, effect row, outbox."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, select

from hms_svc.domain import failpoints
from hms_svc.domain.ids import transaction_id
from hms_svc.persistence import outbox
from hms_svc.persistence.fences import raise_fences
from hms_svc.persistence.permissions import read_permissions, write_permissions
from hms_svc.persistence.statements import Query, insert_rows, write_together
from hms_svc.persistence.tables import job_effects
from hms_svc.ports.clock import Clock
from hms_svc.ports.stores import RefusedEffect, StoredEffect
from hms_svc.ports.transactions import TransactionRequest, Written

_COMMITTED: Final = Query(
    select(
        job_effects.c.job_id, job_effects.c.key, job_effects.c.vetted, job_effects.c.value
    ).where(job_effects.c.job_id == bindparam("job_id"), job_effects.c.key == bindparam("key"))
)
_INSERT: Final = insert_rows(job_effects, "job_id", "key", "value", "vetted", "at")


def begin(
    connection: Connection, request: TransactionRequest, clock: Clock
) -> StoredEffect | RefusedEffect | None:
    """Lock the job's fence; return why nothing is to be written, or what is stored already."""
    job_id = request.job_id
    fences = raise_fences(connection, [(job_id, request.fence)], clock.now_ms())
    if request.fence < fences[job_id] or clock.lease_ms() >= request.valid_until:
        return RefusedEffect("fence")
    stored = _COMMITTED.run(connection, job_id=job_id, key=request.key)
    return committed_effect(*stored[0]) if stored else None


def end(
    connection: Connection, request: TransactionRequest, written: Written, at: int
) -> StoredEffect:
    """Write the effect and the outbox."""
    row = (request.job_id, request.key, written.value, write_permissions(written.vetted), at)
    parts = [
        (_INSERT, [row]),
        outbox.insertion([*written.events, *written.follow_ups]),
    ]
    write_together(connection, parts)
    if failpoints.armed is not None:
        failpoints.reached("effect.within")
    return StoredEffect(
        job_id=request.job_id,
        key=request.key,
        case_id=transaction_id(request.job_id, request.key),
        digest="",
        vetted=written.vetted,
        fresh=True,
        value=written.value,
    )


def committed_effect(job_id: str, key: str, vetted: str, value: bytes) -> StoredEffect:
    """Return a stored transaction."""
    return StoredEffect(
        job_id=job_id,
        key=key,
        case_id=transaction_id(job_id, key),
        digest="",
        vetted=read_permissions(vetted),
        value=value,
    )
