"""One job as its follower sees it: its state, its progress and log, and its end."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

import msgspec

from hms_svc.domain.lifecycle import TERMINAL
from hms_svc.domain.strict_json import encode
from hms_svc.domain.views import ProgressView
from hms_svc.http_api.context import ApiContext
from hms_svc.http_api.problems import Problem
from hms_svc.http_api.shared_streams import Watched, woken
from hms_svc.operations.answers.jobs import FollowedLine, JobAnswer, JobDetailAnswer

BEAT_SECONDS: Final = 2.5
"""Not longer than `RECHECK_SECONDS`: a follower is authenticated again at a heartbeat."""
END_ID: Final = "end"
"""The id of the last message: a client that reconnects with it has received all."""
_ID: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


class StreamMessage(msgspec.Struct, frozen=True):
    """One message: `kind` is state, progress, log, event, gap or end; `id` resumes after it.

    A message of kind beat is a heartbeat, and carries nothing.
    """

    kind: str
    body: msgspec.Struct | dict[str, Any] = {}
    id: str = ""

    def to_json(self) -> bytes:
        """Return the message as one JSON object."""
        head, body = encode({"kind": self.kind}), encode(self.body)
        return head if body == b"{}" else b"%s,%s" % (head[:-1], body[1:])


def last_line(last_seen: str | None) -> int:
    """Parse the number of the last line that a follower received, 0 without one; Problem 400 if it is not a number."""
    if last_seen is None:
        return 0
    if not _ID.fullmatch(last_seen):
        raise Problem(
            400, "bad-input", f"{last_seen!r:.40} is not the number of a line, such as 12"
        )
    return int(last_seen)


async def follow_job(
    api: ApiContext, job_id: str, *, after: int = 0
) -> AsyncGenerator[StreamMessage]:
    """Yield the messages of a job, from the lines above `after` to its end. UnknownId for an unknown job.

    Yields a heartbeat if there is no news for a while. Ends also when the HTTP server closes.
    """
    detail, archived = await api.reads.detail(job_id)
    yield StreamMessage("state", JobAnswer.of(detail.view))
    fresh = [line for line in detail.progress if line.number > after]
    for message in _lines(job_id, fresh, after):
        yield message
    after = fresh[-1].number if fresh else after
    if archived or detail.view.state in TERMINAL:
        yield StreamMessage("end", JobDetailAnswer.of_detail(detail, archived=archived), END_ID)
        return
    async with api.jobs.watching(job_id) as watched:
        async for message in _watch(api, job_id, watched, after):
            yield message


async def _watch(
    api: ApiContext, job_id: str, watched: Watched, after: int
) -> AsyncIterator[StreamMessage]:
    position = 0
    while not api.closing.is_set():
        wake, end = watched.wake_up.listen(), watched.end
        fresh = [line for line in watched.lines if line.number > after]
        for message in _lines(job_id, fresh, after):
            yield message
        after = fresh[-1].number if fresh else after
        for event in [each for each in watched.events if each.position > position]:
            position = event.position
            yield StreamMessage("event", event.to_cloudevent(api.settings.namespace))
        if end is not None:
            detail, archived = end
            yield StreamMessage("end", JobDetailAnswer.of_detail(detail, archived=archived), END_ID)
            return
        if not fresh and not await woken(wake, BEAT_SECONDS):
            yield StreamMessage("beat")


def _lines(job_id: str, lines: list[ProgressView], after: int) -> list[StreamMessage]:
    messages = []
    for line in lines:
        if line.number > after + 1:
            messages.append(StreamMessage("gap", {"missed": line.number - after - 1}))
        after = line.number
        kind = "log" if line.log else "progress"
        messages.append(StreamMessage(kind, FollowedLine.of(job_id, line), str(line.number)))
    return messages
