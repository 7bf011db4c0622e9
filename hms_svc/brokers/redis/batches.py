"""Reads batches from Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hms_svc.brokers.chunks import in_slices
from hms_svc.brokers.codes import DISCARDED, PRIORITY_STEP, STATE_OF
from hms_svc.brokers.job_pages import read_cursor, write_cursor
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.batches import DISCARDED as DISCARDED_NAME
from hms_svc.domain.batches import BatchPage, BatchView, FollowUp, When
from hms_svc.domain.strict_json import decode
from hms_svc.domain.timestamps import LAST_MS

_AT_ONCE: Final = 1000
_NAMES: Final = {code: state.value for code, state in STATE_OF.items()} | {
    DISCARDED: DISCARDED_NAME
}


async def page(link: Link, *, limit: int, cursor: str | None) -> BatchPage:
    """Return batches, the one that was submitted last first."""
    at, after = read_cursor(cursor, tuple[int, str]) or (LAST_MS + 1, "")
    name = link.keys.ours("submitted-batches")
    first, found = 0, list[tuple[int, str]]()
    while not limit or len(found) <= limit:
        bounds = ("WITHSCORES", "LIMIT", first, _AT_ONCE)
        rows = await link.ask("ZREVRANGEBYSCORE", name, at, "-inf", *bounds)
        pairs = zip(rows[1::2], rows[::2], strict=True)
        places = [(int(float(score)), batch.decode()) for score, batch in pairs]
        found += [place for place in places if place < (at, after)]
        first += len(places)
        if len(places) < _AT_ONCE:
            break
    shown = found[:limit] if limit else found
    views: list[BatchView | None] = []
    for some in in_slices([batch for _, batch in shown]):
        views += await read(link, some)
    more = write_cursor(shown[-1]) if len(shown) < len(found) else None
    return BatchPage(tuple(view for view in views if view is not None), more)


async def read(link: Link, batch_ids: Sequence[str]) -> list[BatchView | None]:
    """Return the batches with these ids, None for an unknown one, in one round trip."""
    commands: list[tuple[str, ...]] = []
    for batch in batch_ids:
        commands.append(("HGETALL", link.keys.ours("batch", batch)))
        for code in _NAMES:
            low = (DISCARDED - code) * PRIORITY_STEP
            bounds = str(low), f"({low + PRIORITY_STEP}"
            commands.append(("ZCOUNT", link.keys.ours("members", batch), *bounds))
    answers = await link.ask_all(commands)
    step = 1 + len(_NAMES)
    return [
        _view(batch, answers[first], answers[first + 1 : first + step])
        for batch, first in zip(batch_ids, range(0, len(answers), step), strict=True)
    ]


async def left_open(link: Link, *, before: int, limit: int) -> tuple[list[str], int]:
    """Return the ids of open batches without a new member since `before`, oldest first, and their number."""
    name, last = link.keys.ours("open-batches"), f"({before}"
    found, number = await link.ask_all(
        [
            ("ZRANGEBYSCORE", name, "-inf", last, "LIMIT", "0", str(limit)),
            ("ZCOUNT", name, "-inf", last),
        ]
    )
    return [batch.decode() for batch in found], int(number)


def _view(batch: str, reply: Any, sizes: Sequence[int]) -> BatchView | None:
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    fields = {name.decode(): value.decode() for name, value in pairs}
    if not fields:
        return None
    counts = {}
    for (code, name), size in zip(_NAMES.items(), sizes, strict=True):
        if number := size + int(fields.get(f"removed:{code}", 0)):
            counts[name] = number
    made = int(fields["made"])
    return BatchView(
        id=batch,
        when=When(fields["condition"]),
        total=int(fields["total"]),
        counts=counts,
        follow_ups=tuple(
            FollowUp(job_id, type, number < made)
            for number, (job_id, type) in enumerate(decode(fields["following"].encode()))
        ),
        created_at=int(fields["at"]),
        by=fields["by"],
        is_open=fields["open"] == "1",
        ended_at=int(fields["ended"]) or None,
        closed_by=fields.get("closed_by", ""),
        left_out=int(fields.get("left_out", 0)),
    )
