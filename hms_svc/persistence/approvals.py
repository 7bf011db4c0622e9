"""Approvals: a human's yes, kept for exactly one action of one job with one payload."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, bindparam, select

from hms_svc.persistence.statements import or_ignore
from hms_svc.persistence.tables import approvals
from hms_svc.ports.stores import Approval

_KEY = ("job_id", "action", "rule", "digest")
_INSERT = or_ignore(approvals, *_KEY, "by", "note", "at", key=_KEY)
_EXISTS = select(approvals.c.at).where(*(approvals.c[name] == bindparam(name) for name in _KEY))


def approve(connection: Connection, approval: Approval) -> None:
    """Record an approval; the first one of a kind stands."""
    _INSERT.run(connection, [msgspec.structs.astuple(approval)])


def is_approved(connection: Connection, job_id: str, action: str, rule: str, digest: str) -> bool:
    """Tell whether exactly this was approved."""
    asked = {"job_id": job_id, "action": action, "rule": rule, "digest": digest}
    return connection.execute(_EXISTS, asked).first() is not None
