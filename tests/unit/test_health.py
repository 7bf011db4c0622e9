"""One health for all HTTP servers: situations, and what is said of each."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hms_svc.domain.errors import BrokerUnavailable, DatabaseUnavailable
from hms_svc.domain.health import Level, TroubleKind
from hms_svc.domain.views import QueueCounts, QueueView, WorkerRequest, WorkerState, WorkerView
from hms_svc.operations.health import HealthInputs, HealthWatch, assess, seen_of_outage
from hms_svc.ports.database import DatabaseHealth
from hms_svc.ports.inspection import BrokerHealth, Capacity

NOW = 1_800_000_000_000
MINUTE = 60_000
FULL = Capacity(used=1_000_000, limit=1_000_000)
WORKER = WorkerView(
    id="w1",
    host="h",
    pid=1,
    slots=4,
    busy=0,
    jobs=(),
    types=("a.job",),
    started_at=NOW - 9 * MINUTE,
    last_seen_at=NOW - 2_000,
    lane="normal",
)
FROZEN = msgspec.structs.replace(WORKER, last_seen_at=NOW - 20_000, jobs=("j1", "j2"), busy=2)


def queue(type: str = "a.job", *, served: bool = True, **fields: Any) -> QueueView:
    names = set(QueueCounts.__struct_fields__)
    counts = {name: fields.pop(name) for name in list(fields) if name in names}
    view = QueueView(
        type=type,
        counts=QueueCounts(**counts),
        counters={},
        oldest_queued_at=None,
        next_due_at=None,
        paused=False,
        paused_by="",
        pause_reason="",
        served=served,
    )
    return msgspec.structs.replace(view, **fields)


def paused(type: str = "a.job", **fields: Any) -> QueueView:
    return queue(type, paused=True, paused_by="ann", pause_reason="storm", **fields)


def seen(**parts: Any) -> HealthInputs:
    whole = HealthInputs(
        at=NOW,
        broker=BrokerHealth("redis", True, 0.4),
        database=DatabaseHealth("postgresql", True),
        queues=[queue()],
        workers=[WORKER],
    )
    return msgspec.structs.replace(whole, **parts)


def waiting(number: int, type: str = "a.job", **fields: Any) -> QueueView:
    return queue(type, queued=number, oldest_queued_at=NOW - 4 * MINUTE, **fields)


SITUATIONS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "well": ({}, []),
    "broker away": (
        {
            "broker": BrokerHealth("redis", False, 0.0, ("refused",)),
            "queues": None,
            "workers": None,
        },
        ["down: broker down | refused"],
    ),
    "database away": (
        {"database": DatabaseHealth("postgresql", False, ("no answer",))},
        ["down: database down | no answer"],
    ),
    "broker slow": (
        {"broker": BrokerHealth("redis", True, 812.0)},
        ["degraded: broker slow | a round trip takes 812 ms, more than 250"],
    ),
    "database slow": (
        {"database": DatabaseHealth("postgresql", True, round_trip_ms=900.0)},
        ["degraded: database slow | a round trip takes 900 ms, more than 250"],
    ),
    "memory full": (
        {"broker": BrokerHealth("redis", True, 0.4, capacity=FULL)},
        ["down: broker full | 1,000,000 of 1,000,000 bytes are used: new jobs are rejected"],
    ),
    "disk full": (
        {
            "broker": BrokerHealth("sqlite", True, 0.4, capacity=FULL),
            "database": DatabaseHealth("sqlite", True, capacity=FULL),
        },
        [
            "down: broker full | 1,000,000 of 1,000,000 bytes are used: new jobs are rejected",
            (
                "down: database full | 1,000,000 of 1,000,000 bytes are used: no case can be written, and "
                "no job that writes one can finish"
            ),
        ],
    ),
    "no worker, nothing to do": (
        {"workers": []},
        ["note: no workers | no worker is alive: start one with hms-svc serve"],
    ),
    "no worker, jobs wait": (
        {"workers": [], "queues": [waiting(3000, served=False)]},
        [
            (
                "down: no workers, 3,000 jobs waiting, oldest 4 m | "
                "no worker is alive: start one with hms-svc serve"
            )
        ],
    ),
    "the only worker killed": (
        {
            "workers": [],
            "silent": [msgspec.structs.replace(FROZEN, last_seen_at=NOW - MINUTE)],
            "queues": [queue(served=False, processing=4, overdue=4, overdue_since=NOW - 30_000)],
        },
        [
            (
                "down: no workers for 1 m, 4 jobs in processing | no worker is alive: start one with "
                "hms-svc serve; w1 was the last live one"
            ),
            (
                "down: 4 leases overdue for 30 s | jobs in processing whose lease ran out: there is no live "
                "worker to requeue them"
            ),
        ],
    ),
    "the only worker frozen": (
        {"workers": [FROZEN]},
        ["down: 1 of 1 worker silent for 20 s, 2 jobs running | no heartbeat of w1"],
    ),
    "one of two workers frozen": (
        {"workers": [FROZEN, msgspec.structs.replace(WORKER, id="w2")]},
        ["degraded: 1 of 2 workers silent for 20 s, 2 jobs running | no heartbeat of w1"],
    ),
    "a lease just ran out": ({"queues": [queue(overdue=1, overdue_since=NOW - 3_000)]}, []),
    "an overdue lease": (
        {"queues": [queue(overdue=1, overdue_since=NOW - MINUTE)]},
        [
            (
                "degraded: 1 lease overdue for 1 m | jobs in processing whose lease ran out: no worker "
                "requeues them"
            )
        ],
    ),
    "unserved type": (
        {"queues": [queue(), waiting(30, "snow.report", served=False)]},
        [
            (
                "degraded: snow.report unserved, 30 jobs waiting, oldest 4 m | "
                "no live worker serves snow.report (30)"
            )
        ],
    ),
    "a type whose only worker is quiet": (
        {
            "queues": [waiting(30, served=False, quiet_workers=1)],
            "workers": [
                msgspec.structs.replace(
                    WORKER,
                    state=WorkerState.QUIET,
                    request=WorkerRequest(WorkerState.QUIET, "ann", "bad disk", NOW - MINUTE),
                )
            ],
        },
        [
            (
                "degraded: a.job unserved, 30 jobs waiting, oldest 4 m | "
                "the only live worker that serves a.job claims no more jobs (quiet by ann: bad disk)"
            ),
            (
                "note: 1 of 1 worker quiet for 1 m | claims no jobs until it is resumed: w1 by ann (bad disk)"
            ),
        ],
    ),
    "hung slots": (
        {"workers": [msgspec.structs.replace(WORKER, hung=3)]},
        [
            (
                "degraded: 3 of 4 slots hung | occupied by functions that run on past their timeout: the log "
                "of hms-svc serve names them"
            )
        ],
    ),
    "a key of the wrong kind": (
        {"queues": [queue(faults=("jobs:a.job is a string",))]},
        ["degraded: faulty keys of a.job | jobs:a.job is a string"],
    ),
    "everything paused": (
        {"queues": [paused(queued=2), queue("idle.job", served=False)]},
        ["degraded: everything paused, 2 jobs waiting | a.job was paused by ann (storm)"],
    ),
    "paused with jobs that wait": (
        {"queues": [paused(queued=2, oldest_queued_at=NOW - 4 * MINUTE), queue("b.job")]},
        ["note: a.job paused, 2 jobs waiting, oldest 4 m | a.job was paused by ann (storm)"],
    ),
    "one of two paused": (
        {"queues": [paused(), queue("b.job")]},
        ["note: a.job paused | a.job was paused by ann (storm)"],
    ),
    "intake closed": (
        {"queues": [paused(intake_paused=True), queue("b.job")]},
        [
            "note: intake of a.job closed | a.job including its intake was paused by ann (storm)",
            "note: a.job paused | a.job including its intake was paused by ann (storm)",
        ],
    ),
    "the worst is told first": (
        {
            "database": DatabaseHealth("postgresql", False, ("away",)),
            "queues": [paused("c.job"), queue(), waiting(1, "b.job", served=False)],
        },
        [
            "down: database down | away",
            "degraded: b.job unserved, 1 job waiting, oldest 4 m | no live worker serves b.job (1)",
            "note: c.job paused | c.job was paused by ann (storm)",
        ],
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_situation_has_its_words(situation: str) -> None:
    parts, words = SITUATIONS[situation]
    health = assess(seen(**parts))
    told = [
        f"{each.level}: {each.summary(NOW)}" + (f" | {each.detail}" if each.detail else "")
        for each in health.troubles
    ]
    assert told == words
    assert (health.level is None) is (not words)


def lively(**parts: Any) -> HealthInputs:
    """The same, with a worker that is live for the next minutes."""
    whole = {"workers": [msgspec.structs.replace(WORKER, last_seen_at=NOW + 9 * MINUTE)]}
    return seen(**whole | parts)


def test_what_nothing_records_began_when_it_was_first_seen() -> None:
    watch = HealthWatch()
    slow = lively(broker=BrokerHealth("redis", True, 812.0), queues=[paused(), queue("b.job")])
    watch.take(slow)
    later = watch.take(msgspec.structs.replace(slow, at=NOW + MINUTE))
    assert [each.summary(NOW + MINUTE) for each in later.troubles] == [
        "broker slow for 1 m",
        "a.job paused for 1 m",
    ]
    watch.take(lively(at=NOW + MINUTE))
    again = watch.take(msgspec.structs.replace(slow, at=NOW + 2 * MINUTE))
    assert {each.since for each in again.troubles} == {NOW + 2 * MINUTE}


def test_a_look_at_the_engines_alone_forgets_nothing_of_the_queues() -> None:
    watch = HealthWatch()
    watch.take(lively(queues=[paused(), queue("b.job")]))
    engines = watch.take(lively(at=NOW + MINUTE, queues=None, workers=None))
    assert (engines.troubles, engines.is_whole) == ((), False)
    [trouble] = watch.take(lively(at=NOW + MINUTE, queues=[paused(), queue("b.job")])).troubles
    assert (trouble.kind, trouble.since) == (TroubleKind.PAUSED, NOW)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BrokerUnavailable("gone"), TroubleKind.BROKER_DOWN),
        (DatabaseUnavailable("gone"), TroubleKind.DATABASE_DOWN),
    ],
)
def test_an_engine_that_cannot_be_opened_is_the_one_that_is_down(
    error: Exception, kind: TroubleKind
) -> None:
    assert isinstance(error, BrokerUnavailable | DatabaseUnavailable)
    [trouble] = assess(seen_of_outage(error, NOW, broker="redis", database="sqlite")).troubles
    assert (trouble.kind, trouble.level, trouble.detail) == (kind, Level.DOWN, "gone")
