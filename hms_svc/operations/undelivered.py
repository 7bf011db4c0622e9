"""Jobs that a transaction has committed, and that no worker has delivered to the broker yet."""

from __future__ import annotations

from hms_svc.domain.errors import UnknownId
from hms_svc.domain.plain_text import duration_text
from hms_svc.ports.database import Database


async def unknown_job(job_id: str, database: Database | None, now_ms: int) -> UnknownId:
    """Return the error for a job that neither the broker nor the archive has."""
    _, waits = await _waiting(job_id, database, now_ms)
    text = f"no job with id {job_id!r}"
    return UnknownId(f"{text} is in the broker yet: it {waits}" if waits else text)


async def undelivered_text(job_id: str, database: Database | None, now_ms: int) -> str:
    """Return the sentence about a job that waits to be delivered; empty if none with this id does."""
    type, waits = await _waiting(job_id, database, now_ms)
    return f"Job {job_id} ({type}) {waits}." if waits else ""


async def _waiting(job_id: str, database: Database | None, now_ms: int) -> tuple[str, str]:
    found = None if database is None else await database.outbox.waiting_job(job_id)
    if found is None:
        return "", ""
    ago = duration_text(max(0, now_ms - found.at))
    return found.type, (
        f"was committed {ago} ago, and waits in the database for a worker to deliver it"
    )
