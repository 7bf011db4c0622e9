"""Why a queue does not move, and what fails in a group: a sentence for each way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from hms_svc.domain.errors import UnknownId
from hms_svc.domain.job import make_job
from hms_svc.domain.job_limits import Limit
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import FailureGroup, QueueCounts, WorkerRequest, WorkerState
from hms_svc.operations.queue_explanation import explain_group, explain_queue
from tests.support.operator_service import open_operator
from tests.unit.test_explanation import NOW, QUEUE, WORKER

GROUP = FailureGroup(
    id="c",
    state=State.DEAD,
    type="t",
    reason="error",
    by="",
    error="OSError",
    pattern="no crew at #",
    count=50_000,
    first_at=NOW - 3_600_000,
    last_at=NOW - 5_000,
    newest_detail="no crew at 7",
    newest_id="j",
    recent=(*[0] * 10, 40, 2),
)


@pytest.mark.parametrize(
    ("counts", "queue", "workers", "told"),
    [
        ({}, {}, (), "has no ready job."),
        (
            {"queued": 84, "processing": 3},
            {"paused": True, "paused_by": "ada", "pause_reason": "storm"},
            (WORKER,),
            "was paused by ada (storm); 84 ready jobs wait; it also has 3 running.",
        ),
        (
            {"queued": 1},
            {"paused": True, "intake_paused": True},
            (),
            "was paused by an unknown operator, and new jobs are rejected over HTTP; 1 ready job waits.",
        ),
        (
            {"queued": 17},
            {"served": False, "oldest_queued_at": NOW - 65_000},
            (),
            "has 17 ready jobs, the oldest for 1 m 5 s, and no live worker serves it: no worker is alive.",
        ),
        (
            {"queued": 1},
            {"served": False, "quiet_workers": 2},
            (),
            "has 1 ready job, and all 2 live workers that serve t claim no more jobs (quiet or stopping).",
        ),
        (
            {"queued": 1},
            {"served": False},
            (msgspec.structs.replace(WORKER, types=("other",)),),
            "and no live worker serves it: the live workers (1 worker) serve other types.",
        ),
        (
            {"queued": 9, "processing": 1},
            {},
            (WORKER,),
            "has 9 ready jobs: it may use 1 slot, and all of them are busy.",
        ),
        (
            {"queued": 9},
            {},
            (msgspec.structs.replace(WORKER, busy=4, hung=2),),
            "all 4 slots that serve it (1 worker) are busy, 2 of them with functions that run on past",
        ),
        (
            {"queued": 9},
            {},
            (WORKER,),
            "is moving: 9 ready jobs; 0 of its jobs run (it may use 1 slot), and 3 of the 4 slots that serve it",
        ),
        (
            {"queued": 9},
            {"suspects": 2, "limited": 4, "keyed_limits": (Limit(1), Limit(5, 1000))},
            (WORKER,),
            (
                "is moving: 3 ready jobs, 4 jobs waiting for a limit with a key and 2 jobs to be repeated alone, after "
                "a worker died or lost its lease; 0 of its jobs run (it may use 1 slot), and 3 of the 4 slots that "
                "serve it are busy; the type declares at most 1 job at the same time for each value of a key and "
                "at most 5 jobs within 1 s for each value of a key, in the whole fleet."
            ),
        ),
        (
            {"queued": 4},
            {"suspects": 4},
            (WORKER,),
            (
                "has no ready job, but 4 jobs to be repeated alone, after a worker died or lost its lease; "
                "0 of its jobs run."
            ),
        ),
        (
            {"queued": 2, "processing": 1},
            {"limited": 2, "keyed_limits": (Limit(1),)},
            (WORKER,),
            (
                "has no ready job, but 2 jobs waiting for a limit with a key; 1 of its jobs run; the type declares "
                "at most 1 job at the same time for each value of a key, in the whole fleet."
            ),
        ),
        (
            {"queued": 2},
            {"paused": True, "paused_by": "ada", "limited": 1, "keyed_limits": (Limit(1),)},
            (WORKER,),
            (
                "was paused by ada; 1 ready job and 1 job waiting for a limit with a key wait; the type declares at "
                "most 1 job at the same time for each value of a key, in the whole fleet."
            ),
        ),
        (
            {"queued": 1},
            {"served": False, "suspects": 1},
            (),
            "has 1 job to be repeated alone, after a worker died or lost its lease, and no live worker serves it",
        ),
        (
            {"scheduled": 12, "retrying": 41, "held": 2},
            {"next_due_at": NOW + 300_000},
            (WORKER,),
            "; it also has 12 scheduled, the next in 5 m, 41 waiting to be retried, 2 held for approval.",
        ),
        (
            {"scheduled": 1},
            {"next_due_at": NOW - 60_000},
            (),
            "it also has 1 scheduled, the next overdue for 1 m",
        ),
    ],
)
def test_each_way_that_a_queue_stands_has_its_sentence(
    counts: dict[str, int], queue: dict[str, Any], workers: tuple[Any, ...], told: str
) -> None:
    view = msgspec.structs.replace(QUEUE, counts=QueueCounts(**counts), **queue)
    sentence = explain_queue(view, workers, NOW)
    assert sentence.startswith("Queue t ")
    assert told in sentence


def test_a_group_tells_what_fails_how_many_and_since_when() -> None:
    assert explain_group(GROUP, NOW) == (
        "50,000 jobs of t are dead (error): OSError: no crew at #; the first since "
        "2027-01-15T07:00:00.000Z, 1 h ago, the newest 5 s ago; 42 came in the last hour, "
        "2 of them in the last 1 s."
    )
    one = msgspec.structs.replace(
        GROUP,
        count=1,
        state=State.REJECTED,
        reason="governance",
        by="photo-from-nowhere",
        error="",
        pattern="",
    )
    told = "1 job of t is rejected (governance by photo-from-nowhere): no crew at 7; the first"
    assert explain_group(one, NOW).startswith(told)


@pytest.mark.parametrize(
    ("due_in_ms", "queue", "told"),
    [
        (27_000, {}, "the newest 5 s ago, the next attempt is due in 27 s; 42 attempts failed in"),
        (-60_000, {}, "the next attempt was due 1 m ago; 42 attempts"),
        (
            27_000,
            {"served": False},
            "is due in 27 s, but no live worker serves t: no worker is alive; 42",
        ),
        (
            27_000,
            {"paused": True, "paused_by": "ann"},
            "in 27 s, but the queue is paused by ann; 42",
        ),
    ],
)
def test_a_group_of_what_is_failing_tells_when_it_is_tried_again_and_what_keeps_it(
    due_in_ms: int, queue: dict[str, Any], told: str
) -> None:
    group = msgspec.structs.replace(GROUP, state=State.RETRYING, next_at=NOW + due_in_ms)
    sentence = explain_group(group, NOW, msgspec.structs.replace(QUEUE, **{"served": True} | queue))
    assert sentence.startswith("50,000 jobs of t are failing and will be retried (error): OSError")
    assert "; the first failed 2027-01-15T07:00:00.000Z, 1 h ago" in sentence
    assert told in sentence


def test_a_group_whose_workers_are_quiet_tells_by_whom_and_why() -> None:
    group = msgspec.structs.replace(GROUP, state=State.RETRYING, next_at=NOW + 27_000)
    view = msgspec.structs.replace(QUEUE, served=False, quiet_workers=1)
    request = WorkerRequest(WorkerState.QUIET, "ann", "bad disk", NOW - 60_000)
    resting = msgspec.structs.replace(WORKER, state=WorkerState.QUIET, request=request)
    assert (
        "is due in 27 s, but the only live worker that serves t claims no more jobs "
        "(quiet by ann: bad disk); 42 attempts"
    ) in explain_group(group, NOW, view, [resting])


async def test_the_service_tells_it_of_what_it_knows(tmp_path: Path) -> None:
    async with open_operator(tmp_path) as operator:
        reads = operator.operations.reads
        await operator.engines.broker.enqueue([make_job("x.y", {}, now_ms=1)])
        assert "and no live worker serves it: no worker is alive" in await reads.why_queue("x.y")
        with pytest.raises(UnknownId, match="no queue 'nobody'"):
            await reads.why_queue("nobody")
        with pytest.raises(UnknownId, match="no job is in failure group c"):
            await reads.why_group("c")
