"""The scripts that accept, lease, settle and recover jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from hms_svc.brokers.redis.calls import ScriptCall, binary, nothing, texts
from hms_svc.brokers.redis.record import Record
from hms_svc.brokers.redis.unique_keys import RuleRow
from hms_svc.brokers.unreported_ends import Effects
from hms_svc.domain.batches import NewBatch
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import Acceptance, EnqueuedBatch, ReapReport

DraftRow: TypeAlias = (
    tuple[str, msgspec.Raw]
    | tuple[str, msgspec.Raw, int, str | Literal[False], bool]
    | tuple[str, msgspec.Raw, int, str | Literal[False], bool, RuleRow]
)
"""Id, the record without its position; then, if the job has any of them: position (of a queued job:
what to add to its time), the unique key or False, whether the job has a priority, and
the rule for its key if it is not the usual one."""
BatchRow: TypeAlias = (
    tuple[str, msgspec.Raw, str, int, str]
    | tuple[str, msgspec.Raw, str, int, str, str, int, int, int]
)
"""A job of a batch, see `batches.make` of `batches.lua`."""
RefusedRow: TypeAlias = tuple[str, int, str, msgspec.Raw, bool, int, msgspec.Raw]
"""Type, state, id, record, whether the job has a priority, time (Unix ms), data of its event."""
AbsorbedRow: TypeAlias = tuple[str | msgspec.Raw | int, ...]
"""An item of an intake and what becomes of it, see `absorb.lua`."""
SettledRow: TypeAlias = tuple[str | int, ...]
"""One settlement, see `settle.lua`."""


class SettlementKind(NamedTuple):
    """What many settlements share; `give_back`: the attempt is not counted, `counted`: that give-back is."""

    state: int
    give_back: bool
    counted: bool
    mark: int
    events: tuple[str, ...]
    counters: tuple[str, ...]


class NotEnqueued(NamedTuple):
    """A job that was not accepted: its place (from 0), and its record ("" if it is to be read) or who holds its key.

    With a state, it was accepted in that state, in place of the job `holder`.
    """

    place: int
    record: bytes
    holder: str
    into: str = ""


class Absorbed(NamedTuple):
    """How many items were taken, and why no more: "" for all, "moved", "known", or "unique" and the holder."""

    taken: int
    why: str
    holder: str


class Settled(NamedTuple):
    """How many settlements were examined; indexes without the lease; by index: who wants a cancel, and why."""

    examined: int
    refused: list[int]
    requested: dict[int, tuple[str, str]]


class Promoted(NamedTuple):
    """How many jobs became ready, the milliseconds until the next one is due, and 1 if more limits are.

    The milliseconds are a minute at most.
    """

    moved: int
    ahead_ms: int
    more_limits: int


class Reaped(NamedTuple):
    """The report of one step, and whether there may be more."""

    report: ReapReport
    more: bool


def enqueue(runs: Sequence[tuple[str, int, list[DraftRow]]]) -> ScriptCall[list[NotEnqueued]]:
    """Accept runs of jobs, each with its type and state."""
    return ScriptCall("enqueue", _faults, runs=runs)


def _faults(reply: list[Any]) -> list[NotEnqueued]:
    return [
        NotEnqueued(place - 1, detail, "")
        if why == b"known"
        else NotEnqueued(place - 1, b"", detail.decode(), *(state.decode() for state in into))
        for place, why, detail, *into in reply
    ]


def enqueue_batch(
    batch: NewBatch,
    members: Sequence[BatchRow],
    follow_ups: Sequence[BatchRow],
    *,
    is_first: bool,
    is_last: bool,
) -> ScriptCall[EnqueuedBatch | None]:
    """Accept some members of a batch, with its record and follow-ups if they are the first.

    Return None if they are not, and the record is missing.
    """
    following = [(job.id, job.type) for job in batch.follow_ups]
    return ScriptCall(
        "enqueue_batch",
        _batch_answer,
        batch=batch.id,
        digest=batch.digest,
        condition=batch.when.value,
        total=batch.total,
        at=batch.created_at,
        by=batch.by,
        following=encode(following).decode(),
        members=members,
        follow_ups=follow_ups if is_first else (),
        first=is_first,
        last=is_last,
    )


def _batch_answer(reply: list[bytes]) -> EnqueuedBatch | None:
    if reply[0] == b"gone":
        return None
    acceptance, taken, *closing = (text.decode() for text in reply)
    left_out, closed_by = closing or ("0", "")
    return EnqueuedBatch(Acceptance(acceptance), taken, int(left_out), closed_by)


def refuse(jobs: Sequence[RefusedRow]) -> ScriptCall[dict[int, bytes]]:
    """Record jobs that can never run; return, by index, the records of ids that were known."""
    return ScriptCall("refuse", lambda reply: {place - 1: text for place, text in reply}, jobs=jobs)


def absorb(name: str, type: str, items: Sequence[AbsorbedRow]) -> ScriptCall[Absorbed]:
    """Move items from the right end of a list into records."""
    return ScriptCall(
        "absorb",
        lambda reply: Absorbed(reply[0], reply[1].decode(), reply[2].decode()),
        list=name,
        type=type,
        items=items,
    )


def rightmost(
    name: str, *, number: int, bytes_at_once: int, largest: int, kept: int
) -> ScriptCall[list[bytes | tuple[int, bytes]]]:
    """Return items from the right end of a list; of an item above `largest`, its length and beginning."""
    return ScriptCall(
        "rightmost",
        lambda reply: [item if isinstance(item, bytes) else tuple(item) for item in reply],
        list=name,
        number=number,
        bytes=bytes_at_once,
        largest=largest,
        kept=kept,
    )


def claim(
    *,
    worker: str,
    now: int,
    lease_ms: int,
    limit: int,
    suspects: bool,
    types: Sequence[tuple[str, int, int]],
) -> ScriptCall[list[Record]]:
    """Lease ready jobs; `types` are type, attempts allowed, and the maximum number of its jobs."""
    return ScriptCall(
        "claim",
        _records,
        worker=worker,
        now=now,
        lease_ms=lease_ms,
        limit=limit,
        lane=int(suspects),
        types=types,
    )


def _records(reply: list[bytes]) -> list[Record]:
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return [Record(job_id.decode(), text) for job_id, text in pairs]


def take_keys(
    claims: Sequence[tuple[str, int, str, bytes, RuleRow | Literal[False]]],
) -> ScriptCall[list[str]]:
    """Assign unique keys (id, fence, digest, envelope, rule); return who holds each, "" without the lease."""
    rows = [
        (job_id, fence, digest, binary(envelope), rule)
        for job_id, fence, digest, envelope, rule in claims
    ]
    return ScriptCall("take_keys", texts, claims=rows)


def take_places(
    claims: Sequence[tuple[str, int, int, list[tuple[str, int, int, int, str]]]],
) -> ScriptCall[list[int]]:
    """Let claimed jobs in by limits: id, fence, lease (ms), and for each digest, number, most, window (ms) and text.

    Return for each 0, or after how many milliseconds its limit is looked at again.
    """
    return ScriptCall("take_places", list, claims=claims)


def keep_steps(steps: Sequence[tuple[str, int, str, bytes]], most: int) -> ScriptCall[list[int]]:
    """Keep results of steps (id, fence, name, value); return for each the value of `Kept`."""
    rows = [(job_id, fence, name, binary(value)) for job_id, fence, name, value in steps]
    return ScriptCall("keep_steps", list, steps=rows, most=most)


def settle(jobs: Sequence[SettledRow], kinds: Sequence[SettlementKind]) -> ScriptCall[Settled]:
    """Settle claimed jobs, each of one of these kinds."""
    return ScriptCall("settle", _settled, jobs=jobs, kinds=[kind._asdict() for kind in kinds])


def _settled(reply: list[Any]) -> Settled:
    examined, answers = reply
    return Settled(
        examined,
        [place - 1 for place, request in answers if not request],
        {place - 1: msgspec.json.decode(request) for place, request in answers if request},
    )


def raise_fences(above: int) -> ScriptCall[None]:
    """Raise the counter of fences; never lower it."""
    return ScriptCall("raise_fences", nothing, above=above)


def abandon(worker: str) -> ScriptCall[int]:
    """End the leases of a dead worker; return their number."""
    return ScriptCall("abandon", int, worker=worker)


def promote(limit: int) -> ScriptCall[Promoted]:
    """Make due jobs ready."""
    return ScriptCall("promote", lambda reply: Promoted(*map(int, reply)), limit=limit)


def reap(limit: int, known: Iterable[tuple[str, int, Effects]]) -> ScriptCall[Reaped]:
    """Recover jobs whose lease has expired; `known` are ids and fences whose effects are known."""
    return ScriptCall(
        "reap",
        _reaped,
        limit=limit,
        known=list(known),
    )


def _reaped(reply: list[Any]) -> Reaped:
    rescued, dead, cancelled, more, *undecided = reply
    pairs = zip(undecided[::2], undecided[1::2], strict=True)
    found = tuple((job_id.decode(), int(fence)) for job_id, fence in pairs)
    return Reaped(ReapReport(rescued, dead, cancelled, found), bool(more))


def progress(lines: Sequence[tuple[str, int, int, float | None, str, bool]]) -> ScriptCall[None]:
    """Append lines of running jobs: id, fence, time, share, message, whether it is one of its log."""
    rows = [
        (job_id, fence, at, "" if share is None else repr(share), message, str(int(log)))
        for job_id, fence, at, share, message, log in lines
    ]
    return ScriptCall("progress", nothing, lines=rows)
