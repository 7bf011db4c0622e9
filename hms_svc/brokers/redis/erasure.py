"""Erases the personal data in records and on the bus."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from hms_svc.brokers.chunks import chunks
from hms_svc.brokers.redis import operator_calls
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.redis.record import Record
from hms_svc.domain.erasure import ERASED
from hms_svc.domain.lifecycle import TERMINAL
from hms_svc.domain.views import ActOutcome
from hms_svc.ports.control import NOT_KNOWN, batch_must_end_first, must_end_first

_AT_ONCE: Final = 50
_ROUNDS: Final = 5
_EVENTS_AT_ONCE: Final = 500
_CHANGED: Final = "was changed at the same time: erase it again"


async def erase(link: Link, job_ids: Sequence[str]) -> list[ActOutcome]:
    """Erase jobs, several in one script, or return why not; then their events on the bus."""
    why: dict[str, str] = {}
    for first in range(0, len(job_ids), _AT_ONCE):
        why |= await _erase_some(link, job_ids[first : first + _AT_ONCE])
    if unknown := [job_id for job_id in why if why[job_id] == NOT_KNOWN]:
        batches = await link.run(operator_calls.erase_follow_ups(unknown))
        for job_id, batch in zip(unknown, batches, strict=True):
            if batch is not None:
                why[job_id] = batch and batch_must_end_first(batch)
    named = [job_id for job_id in why if why[job_id] in ("", NOT_KNOWN)]
    if named:
        await _erase_events(link, named)
    return [ActOutcome(job_id, not why[job_id], why[job_id]) for job_id in job_ids]


async def _erase_some(link: Link, job_ids: Sequence[str]) -> dict[str, str]:
    """Read, erase and replace records; one that was changed in between is read again."""
    why = dict.fromkeys(job_ids, _CHANGED)
    for _ in range(_ROUNDS):
        open_ids = [job_id for job_id in why if why[job_id] == _CHANGED]
        texts = await link.ask_all([("GET", link.keys.ours("job", job_id)) for job_id in open_ids])
        records = dict(zip(open_ids, texts, strict=True))
        why |= {job_id: _why_not(job_id, text) for job_id, text in records.items()}
        wanted = {job_id: text for job_id, text in records.items() if not why[job_id]}
        if not wanted:
            break
        for some in chunks(list(wanted.items()), lambda one: len(one[1])):
            why |= await _replace(link, dict(some))
    return why


def _why_not(job_id: str, text: bytes | None) -> str:
    if text is None:
        return NOT_KNOWN
    state = Record(job_id, text).state
    return "" if state is None or state in TERMINAL else must_end_first(state)


async def _replace(link: Link, records: Mapping[str, bytes]) -> dict[str, str]:
    rows = []
    for job_id, text in records.items():
        envelope, outcome, history, cause = Record(job_id, text).erased()
        digest = hashlib.sha1(text, usedforsecurity=False).hexdigest()
        rows.append(
            operator_calls.ErasedRow(job_id, digest, envelope, ERASED, outcome, history, cause)
        )
    answers = await link.run(operator_calls.erase(rows))
    return {job_id: "" if done else _CHANGED for job_id, done in zip(records, answers, strict=True)}


async def _erase_events(link: Link, job_ids: Sequence[str]) -> None:
    """Walk the bus in bounded steps, so that other calls are served in between."""
    place = "-"
    while place:
        place = await link.run(
            operator_calls.erase_events(place, most=_EVENTS_AT_ONCE, job_ids=job_ids)
        )
