"""The console's top line: the health first, and the age of what is shown."""

from __future__ import annotations

from typing import Any

import msgspec

from hms_svc.domain.views import QueueCounts, QueueView, WorkerView
from hms_svc.operations.health import HealthInputs, assess
from hms_svc.ports.inspection import BrokerHealth, Capacity
from hms_svc.ports.stores import DatabaseHealth
from hms_svc.tui.launch import Facts, Launch
from hms_svc.tui.queries import AuditRowsQuery, CasePage, CasesQuery
from hms_svc.tui.snapshot import ScreenQuery, Snapshot
from hms_svc.tui.snapshot import Seen as SeenByLook
from hms_svc.tui.topline import top_line

QUEUE = QueueView(
    type="pothole.report", counts=QueueCounts(), counters={}, oldest_queued_at=None,
    next_due_at=None, paused=False, paused_by="", pause_reason="", served=True,
)  # fmt: skip


def top_words(
    snapshot: Snapshot, now: int, width: int = 80, look: ScreenQuery | None = None
) -> str:
    """What the top line says, left and right."""

    def nobody() -> None:
        raise AssertionError

    facts = Facts(broker="b", database="d", namespace="n", actor="ann")
    launch = Launch(operations=nobody, facts=facts)  # type: ignore[arg-type]
    left, right = top_line(snapshot, launch, "Overview", now, width, look)
    return " | ".join("".join(part.text for part in side) for side in (left, right))


UP = BrokerHealth("redis", True, 1.0)
DOWN = BrokerHealth("redis", False, 0.0, ("gone",))
CITY_HALL = DatabaseHealth("postgresql", True)


def picture_of(
    broker: BrokerHealth = UP, database: DatabaseHealth = CITY_HALL, **fields: Any
) -> Snapshot:
    """A picture with the health that the operator service gives it."""
    seen = HealthInputs(
        at=1_000, broker=broker, database=database, queues=fields.get("queues", ()),
        workers=fields.get("workers", ()),
    )  # fmt: skip
    return Snapshot(at=1_000, broker=broker, database=database, health=assess(seen), **fields)


WORKER = WorkerView(
    id="w", host="h", pid=1, slots=8, busy=3, jobs=(), types=("pothole.report",), started_at=0,
    last_seen_at=900, lane="normal",
)  # fmt: skip


def test_all_is_well_only_where_everything_is_known_to_be() -> None:
    assert "all well  1 worker 3/8" in top_words(picture_of(workers=(WORKER,)), 1_000)
    assert "all well" not in top_words(picture_of(), 1_000)
    assert "no workers" in top_words(picture_of(), 1_000)
    assert "all well" not in top_words(Snapshot(at=1_000, broker=UP), 1_000)
    told = top_words(picture_of(workers=(WORKER,), trouble="a bug"), 1_000)
    assert "all well" not in told
    assert "not known" in told


def test_the_top_line_names_the_trouble_with_since_when_and_drops_what_matters_less() -> None:
    counts = QueueCounts(queued=3000, dead=129)
    waits = msgspec.structs.replace(QUEUE, counts=counts, served=False, oldest_queued_at=-239_000)
    told = top_words(picture_of(queues=(waits,)), 1_000)
    assert told == " Overview  ● ●  no workers, 3,000 jobs waiting, oldest 4 m  +1 H   | 0.0s old "
    told = top_words(picture_of(queues=(waits,)), 1_000, 97)
    assert "● redis  ● postgresql  no workers, 3,000 jobs waiting, oldest 4 m  +1 H" in told
    assert "129 dead  0 workers" in top_words(picture_of(queues=(waits,)), 1_000, 120)
    away = DatabaseHealth("postgresql", False, ("x",))
    narrow = top_words(picture_of(UP, away, queues=(waits,)), 90_000, 60)
    assert narrow.startswith(" Overview  ✗  database down for 1 m  +2")
    for width in range(40, 200):
        left, _, right = top_words(picture_of(queues=(waits,)), 1_000, width).partition(" | ")
        assert len(left) <= width - len(right)
        assert "129 dead" in left or "+1" in left


def test_a_full_broker_has_no_green_light() -> None:
    full = BrokerHealth("redis", True, 1.0, capacity=Capacity(used=7_990_000, limit=8_000_000))
    told = top_words(picture_of(full, workers=(WORKER,)), 1_000)
    assert "✗ redis is full" in told
    assert "broker full" in told


def test_age_and_trouble_are_those_of_the_engine_that_was_asked() -> None:
    snapshot = picture_of(DOWN, workers=(WORKER,), trouble="gone")
    assert "STALE 1m" in top_words(snapshot, 62_000)
    cases = CasesQuery(None, 100)
    seen = msgspec.structs.replace(snapshot, seen=SeenByLook(cases, CasePage((), None), 61_000))
    assert "1.0s old" in top_words(seen, 62_000, look=cases)
    assert "STALE" not in top_words(seen, 62_000, look=cases)
    away = msgspec.structs.replace(seen, trouble="", query_trouble="away")
    assert "STALE 1.0s" in top_words(away, 62_000, look=cases)
    assert "STALE" not in top_words(msgspec.structs.replace(away, at=61_900), 62_000)
    assert "asking" in top_words(snapshot, 62_000, look=AuditRowsQuery(100))
