"""The scripts of the operator: reads and changes of jobs and queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hms_svc.brokers.redis.calls import ScriptCall, binary, nothing, texts
from hms_svc.domain.prefilter import Condition
from hms_svc.domain.views import ActOutcome
from hms_svc.ports.control import ActRequest, ClosedBatch, SeenClaim


class ErasedRow(NamedTuple):
    """A record without personal data, and the SHA-1 of the record that it replaces."""

    job_id: str
    digest: str
    envelope: bytes
    data: bytes
    outcome: bytes
    history: bytes
    cause: str


class SliceRow(NamedTuple):
    """A record in a slice: the index of its group, id, score, and its text, empty if it is missing.

    `skipped` records before it did not meet the prefilter.
    """

    group: int
    job_id: str
    score: float
    text: bytes
    skipped: int


def act(request: ActRequest, job_ids: Sequence[str], undo_until: int) -> ScriptCall[list[str]]:
    """Do an act on some jobs; return for each why it was not done, and fewer if they are large."""
    jobs = [_wanted(job_id, request.seen.get(job_id)) for job_id in job_ids]
    return ScriptCall(
        "act",
        texts,
        act=request.act.value,
        by=request.by,
        note=request.note,
        batch=request.batch,
        undo_until=undo_until,
        jobs=jobs,
    )


def _wanted(job_id: str, seen: SeenClaim | None) -> tuple[str, int | bool, str, str]:
    if seen is None:
        return job_id, False, "", ""
    return job_id, seen.fence, seen.case_id or "", seen.hold


def close_batch(batch_id: str, by: str) -> ScriptCall[ClosedBatch]:
    """Close an open batch with the members that it has."""
    return ScriptCall("close_batch", _closed, batch=batch_id, by=by)


def _closed(reply: list[Any]) -> ClosedBatch:
    why, accepted, left_out = reply
    return ClosedBatch(why.decode(), accepted, left_out)


def undo(
    batch: str, *, since: int, after: str, limit: int, dry: bool
) -> ScriptCall[list[ActOutcome]]:
    """Restore jobs of a batch after an id, if its acts were after `since` (Unix ms)."""
    return ScriptCall(
        "undo", _outcomes, batch=batch, since=since, after=after, limit=limit, dry=dry
    )


def _outcomes(reply: list[bytes]) -> list[ActOutcome]:
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return [ActOutcome(job_id.decode(), not why, why.decode()) for job_id, why in pairs]


def erase(jobs: Sequence[ErasedRow]) -> ScriptCall[list[bool]]:
    """Replace records that have not changed since they were read; return whether each was."""
    rows = [[binary(each) if isinstance(each, bytes) else each for each in job] for job in jobs]
    return ScriptCall("erase", lambda reply: [bool(done) for done in reply], jobs=rows)


def erase_events(start: str, *, most: int, job_ids: Sequence[str]) -> ScriptCall[str]:
    """Remove events about jobs from a range of the bus; return the start of the next range, "" at the end."""
    return ScriptCall("erase_events", bytes.decode, start=start, most=most, jobs=job_ids)


def erase_follow_ups(job_ids: Sequence[str]) -> ScriptCall[list[str | None]]:
    """Remove what is to follow batches that have ended; return "", the batch that has not, or None for other ids."""
    return ScriptCall("erase_follow_ups", _batches_of, ids=job_ids)


def _batches_of(reply: list[bytes | None]) -> list[str | None]:
    return [None if batch is None else batch.decode() for batch in reply]


def pause(type: str, *, by: str, reason: str, intake: bool) -> ScriptCall[None]:
    """Pause claiming of a type."""
    return ScriptCall("pause", nothing, type=type, by=by, reason=reason, intake=str(int(intake)))


def resume(type: str) -> ScriptCall[None]:
    """Resume claiming of a type."""
    return ScriptCall("pause", nothing, type=type, by="", reason="", intake="0")


def remove(jobs: Sequence[tuple[str, str, int]]) -> ScriptCall[int]:
    """Remove finished jobs (id, type and state code, or "" and 0 if only the id is known)."""
    return ScriptCall("remove", int, jobs=jobs)


def bury(types: Sequence[str], *, before: int, limit: int) -> ScriptCall[int]:
    """Dead-letter jobs of unserved types that have been ready since before a time (Unix ms)."""
    return ScriptCall("bury", int, before=before, limit=limit, types=types)


def forget_types(types: Sequence[str]) -> ScriptCall[None]:
    """Remove types without jobs that no worker serves."""
    return ScriptCall("forget_types", nothing, types=types)


def queues(types: Sequence[str]) -> ScriptCall[list[list[Any]]]:
    """Return the state of some queues, see `queues.lua`."""
    return ScriptCall("queues", list, types=types)


def failures(causes: Sequence[bytes]) -> ScriptCall[list[list[Any]]]:
    """Return the content of some failure groups, see `failures.lua`."""
    return ScriptCall("failures", list, causes=[cause.decode() for cause in causes])


def slice_of(
    groups: Sequence[Sequence[str]],
    *,
    limit: int,
    after: tuple[float, str] | None,
    window: int,
    prefilter: Condition | None,
) -> ScriptCall[list[SliceRow]]:
    """Return some records of groups of indexes, beginning in the first group after a score and id.

    Of the next `window` records, those that meet the prefilter, and the last.
    """
    score, job_id = (repr(after[0]), after[1]) if after else ("", "")
    return ScriptCall(
        "slice",
        _slice,
        limit=limit,
        window=window,
        score=score,
        id=job_id,
        groups=groups,
        prefilter=prefilter or False,
    )


def _slice(reply: list[Any]) -> list[SliceRow]:
    return [
        SliceRow(group - 1, job_id.decode(), float(score), text, skipped)
        for group, job_id, score, text, skipped in reply
    ]
