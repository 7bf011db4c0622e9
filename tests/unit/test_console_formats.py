"""The pure parts of the console: formatting, trends, hints, and the layout of panels."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.domain.lifecycle import State
from hms_svc.domain.percentile import percentile
from hms_svc.domain.views import FailureGroup, QueueCounts, QueueView
from hms_svc.tui import columns
from hms_svc.tui import formats as f
from hms_svc.tui.commands import Target, TargetKind
from hms_svc.tui.hints import hints
from hms_svc.tui.order import KeptOrder
from hms_svc.tui.recent_groups import RecentGroups
from hms_svc.tui.rows import IDLE_KEY, queue_rows, trouble_below
from hms_svc.tui.screens.overview import share_heights
from hms_svc.tui.text import Row
from hms_svc.tui.trend import BARS, Durations, QueueTrend, Trends

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


def queue(ready: int = 0, **counters: int) -> QueueView:
    counts = QueueCounts(queued=ready)
    return msgspec.structs.replace(QUEUE, counts=counts, counters=counters)


@given(st.integers(0, 10**12))
def test_a_count_has_at_most_five_characters(number: int) -> None:
    assert 1 <= len(f.count(number)) <= 5


@given(st.integers(-1000, 90_000_000_000))
def test_an_age_has_at_most_four_characters(milliseconds: int) -> None:
    assert 2 <= len(f.age(milliseconds)) <= 4


@given(st.floats(0, 10**12, allow_nan=False))
def test_a_rate_has_at_most_five_characters(per_second: float) -> None:
    assert 1 <= len(f.rate(per_second)) <= 5


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (999, "999"),
        (9_999, "9,999"),
        (22_800, "22.8k"),
        (50_000, "50.0k"),
        (99_960, "100k"),
        (124_000, "124k"),
        (999_499, "999k"),
        (999_600, "1.0M"),
        (1_250_000, "1.2M"),
    ],
)
def test_counts_and_rates_are_short_and_whole(number: int, written: str) -> None:
    assert f.count(number) == written
    assert f.rate(number) == written


@given(st.integers(0, 10_000), st.none() | st.integers(1, 10_000))
def test_an_attempt_has_at_most_five_characters(number: int, most: int | None) -> None:
    assert 1 <= len(f.attempt(number, most)) <= 5


@given(
    st.builds(
        QueueCounts, **{name: st.integers(0, 10**12) for name in QueueCounts.__struct_fields__}
    ),
    st.floats(0, 10**9),
    st.integers(0, 10**12),
)
def test_no_number_of_a_queue_is_cut(counts: QueueCounts, rate: float, drain: int) -> None:
    trend = QueueTrend(arrivals=rate, departures=rate, failed_share=1.0, drain_ms=drain)
    view = msgspec.structs.replace(QUEUE, counts=counts, oldest_queued_at=0)
    [row] = queue_rows([view], {view.type: trend}, 10**12)
    for column, shown in zip(columns.QUEUES[1:12], row.cells[1:12], strict=True):
        assert len(shown.text) <= column.width, column.title


@pytest.mark.parametrize(("quiet", "note"), [(0, "no live worker serves it"), (1, "quiet")])
def test_a_queue_that_waits_for_quiet_workers_has_a_note(quiet: int, note: str) -> None:
    view = msgspec.structs.replace(queue(ready=1), served=False, quiet_workers=quiet)
    assert queue_rows([view], {}, 0)[0].cells[-1].text == note


def test_cancelled_jobs_do_not_count_as_throughput() -> None:
    trends = Trends()
    trends.take(1_000, [queue(ready=40)])
    cancelled = trends.take(2_000, [queue(cancelled=40)])["pothole.report"]
    assert (cancelled.departures, cancelled.drain_ms, sum(cancelled.ended)) == (0.0, None, 0)
    undone = trends.take(3_000, [queue(ready=40)])["pothole.report"]
    assert (undone.departures, undone.drain_ms) == (0.0, None)


@given(st.lists(st.floats(0, 1e9), max_size=40), st.integers(1, 30))
def test_a_sparkline_is_as_wide_as_asked(numbers: list[float], width: int) -> None:
    assert len(f.sparkline(numbers, width)) == width


def test_a_sparkline_shows_every_number_above_zero() -> None:
    assert f.sparkline([0, 1, 1000], 3) == " ▂▇"
    assert f.sparkline([0, 0], 3) == "   "


@given(st.floats(-1, 2), st.integers(1, 40))
def test_a_bar_is_as_wide_as_asked(part: float, width: int) -> None:
    assert len(f.bar(part, width)) == width


@pytest.mark.parametrize(
    ("milliseconds", "written"),
    [(None, ""), (3, "3 ms"), (1_240, "1.2 s"), (250_000, "4 m 10 s"), (7_500_000, "2 h 5 m")],
)
def test_a_duration_has_units_by_its_size(milliseconds: int | None, written: str) -> None:
    assert f.duration(milliseconds) == written


def test_rates_come_from_two_snapshots_and_the_drain_from_both_rates() -> None:
    trends = Trends()
    first = trends.take(0, [queue(ready=100, accepted=10, completed=0)])
    assert first["pothole.report"].arrivals is None
    second = trends.take(2_000, [queue(ready=90, accepted=14, completed=14)])["pothole.report"]
    assert (second.arrivals, second.departures) == (2.0, 7.0)
    assert second.drain_ms == 18_000
    assert len(second.ended) == BARS
    assert second.ended[-1] == 14


def test_a_queue_that_grows_never_drains() -> None:
    trends = Trends()
    trends.take(0, [queue(ready=5, accepted=0)])
    found = trends.take(1_000, [queue(ready=9, accepted=4)])["pothole.report"]
    assert found.drain_ms is None


def test_deleted_counters_start_again_without_a_negative_rate() -> None:
    trends = Trends()
    trends.take(0, [queue(accepted=50, completed=50)])
    found = trends.take(1_000, [queue(accepted=1, completed=1)])["pothole.report"]
    assert (found.arrivals, found.ended[-1]) == (None, 0)


def test_a_removed_queue_is_forgotten() -> None:
    trends = Trends()
    trends.take(0, [queue(accepted=5)])
    assert trends.take(1_000, []) == {}
    assert trends.take(2_000, [queue(accepted=9)])["pothole.report"].arrivals is None


def test_a_group_that_empties_at_each_attempt_keeps_its_row_for_some_seconds() -> None:
    one = FailureGroup(
        id="a",
        state=State.RETRYING,
        type="x.y",
        reason="error",
        by="",
        error="E",
        pattern="p",
        count=2,
        first_at=0,
        last_at=9,
        newest_detail="",
        newest_id="j",
        recent=(),
        next_at=50,
    )
    dead = msgspec.structs.replace(one, id="b", state=State.DEAD, next_at=None)
    groups = RecentGroups()
    shown = [
        [(each.id, each.count) for each in groups.take(seen, at)]
        for at, seen in ((0, [one, dead]), (5_000, []), (9_999, [dead]), (10_000, []))
    ]
    assert shown == [[("a", 2), ("b", 2)], [("a", 0)], [("b", 2), ("a", 0)], []]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60))
def test_the_p95_is_the_least_that_nineteen_of_twenty_do_not_exceed(numbers: list[int]) -> None:
    found = percentile(numbers, 0.95)
    assert found in numbers
    assert sum(each <= found for each in numbers) * 100 >= 95 * len(numbers)
    below = [each for each in numbers if each < found]
    assert len(below) * 100 < 95 * len(numbers)


def test_durations_keep_the_newest_of_each_type() -> None:
    durations = Durations()
    assert durations.p95_of_all() is None
    for each in [9_000] * 300 + [5] * 200:
        durations.add("pothole.report", each)
    assert durations.p95() == {"pothole.report": 5}


needs = st.fixed_dictionaries(
    {name: st.integers(2, 300) for name in ("queues", "results", "validation", "dead")}
)


@given(st.integers(6, 200), needs, st.booleans())
def test_the_panels_of_the_overview_fill_the_screen_and_none_is_negative(
    available: int, wanted: dict[str, int], side_by_side: bool
) -> None:
    shares = share_heights(available, wanted, side_by_side=side_by_side)
    assert min(shares.values()) >= 0
    right = shares["validation"] + shares["dead"]
    if side_by_side:
        assert shares["queues"] + shares["results"] == available
        assert right == shares["results"]
    else:
        assert shares["queues"] + shares["results"] + right == available


JOB = Target(kind="job", ids=("j-1",))


@pytest.mark.parametrize(
    ("states", "can", "cannot"),
    [
        ({State.DEAD}, {"retry", "edit", "discard"}, {"cancel", "approve", "deny"}),
        ({State.QUEUED}, {"cancel", "discard"}, {"retry", "edit", "approve", "deny"}),
        ({State.HELD}, {"approve", "deny", "cancel", "discard"}, {"retry", "edit"}),
        ({State.PROCESSING}, {"cancel"}, {"retry", "edit", "discard", "approve", "deny"}),
        ({State.COMPLETED}, {"edit", "discard"}, {"retry", "cancel", "approve"}),
        ({State.DEAD, State.QUEUED}, {"retry", "cancel"}, {"approve"}),
        (None, {"retry", "cancel", "approve"}, set()),
    ],
)
def test_hints_show_the_commands_for_the_states_of_jobs(
    states: set[State] | None, can: set[str], cannot: set[str]
) -> None:
    lines = hints(JOB, states, is_paused=False, first=(), panels=1)
    shown = {line[1].text.strip().split()[0] for line in lines}
    assert can <= shown
    assert not cannot & shown


def test_hints_of_a_queue_and_a_case_depend_on_their_state() -> None:
    def hint_text(kind: TargetKind, states: set[str] | None, *, is_paused: bool = False) -> str:
        target = Target(kind=kind, ids=("x",))
        lines = hints(target, states, is_paused=is_paused, first=(), panels=1)
        return "".join(part.text for line in lines for part in line)

    assert "p pause queue" in hint_text("queue", None)
    assert "p resume queue" in hint_text("queue", None, is_paused=True)
    assert "pause queue" not in hint_text("queue", None, is_paused=True)
    assert "c close case" in hint_text("case", {"open"})
    assert "reopen" not in hint_text("case", {"open"})
    assert "o reopen case" in hint_text("case", {"closed"})


def test_a_paused_queue_has_a_sign_and_the_name_of_who_paused_it() -> None:
    paused = msgspec.structs.replace(QUEUE, paused=True, paused_by="ann", pause_reason="moved")
    [row] = queue_rows([paused], {}, 0)
    assert row.cells[0].text == "‖pothole.report"
    assert row.cells[-1].text == "paused by ann: moved"


def named(type: str, **changed: object) -> QueueView:
    return msgspec.structs.replace(QUEUE, type=type, **changed)


def test_queues_with_problems_come_first_and_idle_ones_are_one_row_if_they_do_not_fit() -> None:
    waiting = QueueCounts(queued=3)
    seen = [
        named("a.idle"),
        named("b.idle"),
        named("c.busy", counts=waiting),
        named("d.idle"),
        named("x.dead", counts=QueueCounts(dead=79)),
        named("y.paused", paused=True),
        named("z.unserved", counts=waiting, served=False),
    ]
    keys = [row.key for row in queue_rows(seen, {}, 0)]
    assert keys == ["z.unserved", "x.dead", "y.paused", "c.busy", "a.idle", "b.idle", "d.idle"]
    folded = queue_rows(seen, {}, 0, 5)
    assert [row.key for row in folded] == ["z.unserved", "x.dead", "y.paused", "c.busy", IDLE_KEY]
    assert "3 idle types" in folded[-1].cells[0].text
    assert trouble_below(folded, 5) == ""
    assert trouble_below(folded, 4) == " +1 below"
    assert trouble_below(folded, 2) == " +3 (1 !)"


def test_an_order_is_kept_and_new_rows_are_appended_until_it_is_forgotten() -> None:
    order = KeptOrder()
    first = [Row(key=key, cells=()) for key in "abc"]
    assert [row.key for row in order.keep(first)[0]] == ["a", "b", "c"]
    again, new = order.keep([Row(key=key, cells=()) for key in "nca"])
    assert ([row.key for row in again], new) == (["a", "c", "n"], 1)
    order.forget()
    assert [row.key for row in order.keep(again[::-1])[0]] == ["n", "c", "a"]
