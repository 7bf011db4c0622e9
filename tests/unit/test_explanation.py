"""Why: one plain sentence for each way that a job can wait or have ended."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hms_svc.domain.lifecycle import State
from hms_svc.domain.plain_text import duration_text
from hms_svc.domain.views import (
    JobDetail,
    JobView,
    ProgressView,
    QueueCounts,
    QueueView,
    WorkerView,
)
from hms_svc.operations.explanation import JobFacts, explain

NOW = 1_800_000_000_000
VIEW = JobView(
    id="j",
    type="t",
    state=State.QUEUED,
    attempt=2,
    enqueued_at=NOW - 65_000,
    reason="",
    by="",
    detail="",
    data=b"{}",
    max_attempts=5,
)
QUEUE = QueueView(
    type="t",
    counts=QueueCounts(),
    counters={},
    oldest_queued_at=None,
    next_due_at=None,
    paused=False,
    paused_by="",
    pause_reason="",
    served=True,
)
WORKER = WorkerView(
    id="w",
    host="h",
    pid=1,
    slots=4,
    busy=3,
    jobs=(),
    types=("t",),
    started_at=0,
    last_seen_at=0,
    lane="normal",
    type_slots=(("t", 1),),
)


def told(view: dict[str, Any], detail: dict[str, Any] | None = None, **facts: Any) -> str:
    job = JobDetail(
        view=msgspec.structs.replace(VIEW, **view),
        result=None,
        attempts=(),
        history=(),
        progress=(),
        envelope=b"{}",
    )
    return explain(
        JobFacts(detail=msgspec.structs.replace(job, **(detail or {})), now_ms=NOW, **facts)
    )


def test_slots_that_hang_are_named_among_the_busy_ones() -> None:
    worker = msgspec.structs.replace(WORKER, hung=2)
    words = "3 of the 4 slots that serve it are busy, 2 of them with functions that run on past"
    assert words in told({}, queue=QUEUE, workers=(worker,), position=0)


@pytest.mark.parametrize(
    ("queue", "words"),
    [
        ({"paused": True, "paused_by": "ada", "pause_reason": "storm"}, "paused by ada (storm)"),
        (
            {"served": False, "quiet_workers": 1},
            "has waited 1 m 5 s because the only live worker that serves t claims no more jobs",
        ),
        ({"served": False}, "has waited 1 m 5 s because no live worker serves t; after 7 days"),
        (
            {},
            "behind 12 ready jobs of its type; 0 of its type run (it may use 1 slot), and 3 of the 4",
        ),
    ],
)
def test_queued(queue: dict[str, Any], words: str) -> None:
    facts: dict[str, Any] = {
        "queue": msgspec.structs.replace(QUEUE, **queue),
        "workers": (WORKER,),
        "position": 12,
    }
    assert words in told({}, **facts)


def test_suspects_say_so() -> None:
    assert "suspect lane" in told({"suspect": True}, queue=QUEUE)
    quiet = msgspec.structs.replace(QUEUE, served=False, quiet_workers=1)
    lane = msgspec.structs.replace(WORKER, lane="suspect")
    assert "suspect lane" in told({"suspect": True}, queue=quiet, workers=(lane,))
    assert "claims no more jobs" in told({"suspect": True}, queue=quiet)
    assert "claims no more jobs" in told({}, queue=quiet, workers=(lane,))


def test_held_names_rule_and_action() -> None:
    sentence = told({"state": State.HELD}, {"hold": ("close_road", "road-closure", "d")})
    assert "rule road-closure requires a person to approve close_road" in sentence


def test_processing_tells_the_last_progress() -> None:
    progress = (ProgressView(number=1, at=NOW, share=0.4, message="step 2"),)
    sentence = told(
        {"state": State.PROCESSING, "worker": "w", "started_at": NOW - 3000},
        {"progress": progress},
        workers=(msgspec.structs.replace(WORKER, last_seen_at=NOW - 2000),),
        lease_end=NOW + 20_000,
    )
    assert "by w for 3 s, attempt 2 of 5; its last progress is 40% 'step 2'" in sentence


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ({"state": State.SCHEDULED, "due_at": NOW + 3_600_000}, "in 1 h"),
        ({"state": State.RETRYING, "due_at": NOW, "failure": "E: x"}, "attempt 2 of 5 (E: x)"),
        ({"state": State.COMPLETED, "case_id": "case-1"}, "made case-1"),
        ({"state": State.COMPLETED, "case_id": "transaction-1"}, "committed transaction-1"),
        ({"state": State.REJECTED, "reason": "duplicate", "detail": "d"}, "validator duplicate"),
        ({"state": State.REJECTED, "reason": "payload", "detail": "lat: d"}, "model: lat: d"),
        ({"state": State.REJECTED, "reason": "governance", "by": "r1"}, "governance (r1) denied"),
        ({"state": State.REJECTED, "reason": "unique", "detail": "held by k"}, "held by k"),
        ({"state": State.DEAD, "reason": "error", "failure": "E: x"}, "2 of 5 attempts with E: x"),
        ({"state": State.DEAD, "reason": "crashed"}, "died repeatedly"),
        ({"state": State.DEAD, "reason": "timeout"}, "ran out of time"),
        ({"state": State.DEAD, "reason": "malformed"}, "not a job"),
        ({"state": State.DEAD, "reason": "no_handler"}, "no worker serves t"),
        ({"state": State.DEAD, "reason": "expired"}, "expired before its first claim"),
        ({"state": State.DEAD, "reason": "id_conflict"}, "in use with other data"),
        ({"state": State.DEAD, "reason": "lost"}, "record was lost"),
        ({"state": State.CANCELLED, "by": "ada", "detail": "why not"}, "by ada: why not"),
    ],
)
def test_every_other_state(view: dict[str, Any], words: str) -> None:
    sentence = told(view)
    assert words in sentence
    assert sentence.startswith("Job j (t) ")
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(0, "0 s"), (-5, "0 s"), (59_999, "59 s"), (3_600_000, "1 h"), (90_061_000, "1 d 1 h")],
)
def test_durations_have_two_units_at_most(milliseconds: int, words: str) -> None:
    assert duration_text(milliseconds) == words
