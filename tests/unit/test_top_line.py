"""The console's top line: the health, and the age of the data."""

from __future__ import annotations

from typing import Any

import msgspec

from hms_svc.domain.views import QueueCounts, QueueView, WorkerView
from hms_svc.operations.health import HealthInputs, assess
from hms_svc.ports.database import DatabaseHealth
from hms_svc.ports.inspection import BrokerHealth, Capacity
from hms_svc.tui.launch import Facts, Launch
from hms_svc.tui.queries import AuditRowsQuery, CaseRows, CasesQuery
from hms_svc.tui.snapshot import ScreenQuery, Snapshot
from hms_svc.tui.snapshot import Seen as SeenByScreen
from hms_svc.tui.topline import top_line

QUEUE = QueueView(
    type="pothole.report",
    counts=QueueCounts(),
    counters={},
    oldest_queued_at=None,
    next_due_at=None,
    paused=False,
    paused_by="",
    pause_reason="",
    served=True,
)


def top_text(
    snapshot: Snapshot, now: int, width: int = 80, data_query: ScreenQuery | None = None
) -> str:
    """Return the left and right part of the top line."""

    def nobody() -> None:
        raise AssertionError

    facts = Facts(broker="b", database="d", namespace="n", actor="ann")
    launch = Launch(operations=nobody, facts=facts)  # type: ignore[arg-type]  # no operations are read
    left, right = top_line(snapshot, launch, "Overview", now, width, data_query)
    return " | ".join("".join(part.text for part in side) for side in (left, right))


UP = BrokerHealth("redis", True, 1.0)
DOWN = BrokerHealth("redis", False, 0.0, ("gone",))
CITY_HALL = DatabaseHealth("postgresql", True)


def snapshot_of(
    broker: BrokerHealth = UP, database: DatabaseHealth = CITY_HALL, **fields: Any
) -> Snapshot:
    """Return a snapshot with its health."""
    seen = HealthInputs(
        at=1_000,
        broker=broker,
        database=database,
        queues=fields.get("queues", ()),
        workers=fields.get("workers", ()),
    )
    return Snapshot(at=1_000, broker=broker, database=database, health=assess(seen), **fields)


WORKER = WorkerView(
    id="w",
    host="h",
    pid=1,
    slots=8,
    busy=3,
    jobs=(),
    types=("pothole.report",),
    started_at=0,
    last_seen_at=900,
    lane="normal",
)


def test_all_is_well_only_if_everything_is_known_to_be() -> None:
    assert "all well  1 worker 3/8" in top_text(snapshot_of(workers=(WORKER,)), 1_000)
    assert "all well" not in top_text(snapshot_of(), 1_000)
    assert "no workers" in top_text(snapshot_of(), 1_000)
    assert "all well" not in top_text(Snapshot(at=1_000, broker=UP), 1_000)
    text = top_text(snapshot_of(workers=(WORKER,), trouble="a bug"), 1_000)
    assert "all well" not in text
    assert "not known" in text


def test_the_top_line_names_the_problem_with_its_age_and_drops_less_important_parts() -> None:
    counts = QueueCounts(queued=3000, dead=129)
    waits = msgspec.structs.replace(QUEUE, counts=counts, served=False, oldest_queued_at=-239_000)
    text = top_text(snapshot_of(queues=(waits,)), 1_000)
    assert text == " Overview  ● ●  no workers, 3,000 jobs waiting, oldest 4 m  +1 H   | 0.0s old "
    text = top_text(snapshot_of(queues=(waits,)), 1_000, 97)
    assert "● redis  ● postgresql  no workers, 3,000 jobs waiting, oldest 4 m  +1 H" in text
    assert "129 dead  0 workers" in top_text(snapshot_of(queues=(waits,)), 1_000, 120)
    away = DatabaseHealth("postgresql", False, ("x",))
    narrow = top_text(snapshot_of(UP, away, queues=(waits,)), 90_000, 60)
    assert narrow.startswith(" Overview  ✗  database down for 1 m  +2")
    for width in range(40, 200):
        left, _, right = top_text(snapshot_of(queues=(waits,)), 1_000, width).partition(" | ")
        assert len(left) <= width - len(right)
        assert "129 dead" in left or "+1" in left


def test_a_full_broker_has_no_green_light() -> None:
    full = BrokerHealth("redis", True, 1.0, capacity=Capacity(used=7_990_000, limit=8_000_000))
    text = top_text(snapshot_of(full, workers=(WORKER,)), 1_000)
    assert "✗ redis is full" in text
    assert "broker full" in text


def test_age_and_problem_are_those_of_the_queried_engine() -> None:
    snapshot = snapshot_of(DOWN, workers=(WORKER,), trouble="gone")
    assert "STALE 1m" in top_text(snapshot, 62_000)
    cases = CasesQuery(None, 100)
    seen = msgspec.structs.replace(snapshot, seen=SeenByScreen(cases, CaseRows((), None), 61_000))
    assert "1.0s old" in top_text(seen, 62_000, data_query=cases)
    assert "STALE" not in top_text(seen, 62_000, data_query=cases)
    away = msgspec.structs.replace(seen, trouble="", query_trouble="away")
    assert "STALE 1.0s" in top_text(away, 62_000, data_query=cases)
    assert "STALE" not in top_text(msgspec.structs.replace(away, at=61_900), 62_000)
    assert "asking" in top_text(snapshot, 62_000, data_query=AuditRowsQuery(100))
