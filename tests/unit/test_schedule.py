"""Cron schedules: their ticks, their texts, and what is refused."""

from __future__ import annotations

import sys
import zoneinfo
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from hms_svc.domain.errors import BadInput
from hms_svc.domain.ids import check_job_id
from hms_svc.domain.schedule import Schedule, make_schedule, read_schedule, tick_id
from hms_svc.sdk.registry import Registry


def ms(*at: int, zone: str = "UTC") -> int:
    return int(datetime(*at, tzinfo=ZoneInfo(zone)).timestamp() * 1000)  # type: ignore[arg-type, misc]  # a date and time of any length


def test_ticks_after_a_time() -> None:
    schedule = make_schedule("*/5 * * * *")
    assert schedule.next_after(ms(2026, 1, 1, 9, 4, 59)) == ms(2026, 1, 1, 9, 5)
    assert schedule.next_after(ms(2026, 1, 1, 9, 5)) == ms(2026, 1, 1, 9, 10)
    ticks = schedule.between(ms(2026, 1, 1, 9, 5), ms(2026, 1, 1, 9, 20))
    assert list(ticks) == [ms(2026, 1, 1, 9, minute) for minute in (10, 15, 20)]


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 2,3 * * *", "0 * * * *", "*/30 * * * *"])
@pytest.mark.parametrize("day", [(2026, 10, 25), (2026, 3, 29)])
def test_a_change_of_clocks_gives_each_tick_once_wherever_one_begins(
    cron: str, day: tuple[int, int, int]
) -> None:
    schedule = make_schedule(cron, "Europe/Berlin")
    begin, end = ms(*day) - 3 * 3_600_000, ms(*day) + 6 * 3_600_000
    ticks = list(schedule.between(begin, end))
    assert ticks == sorted(set(ticks))
    for at in range(begin, end, 300_000):
        assert schedule.next_after(at) == next(
            tick for tick in (*ticks, schedule.next_after(end)) if tick > at
        )


def test_a_zone_means_its_own_clocks_also_when_they_change() -> None:
    schedule = make_schedule("30 2 * * *", "Europe/Paris")
    tick, ticks = ms(2026, 3, 27), []
    for _ in range(4):
        tick = schedule.next_after(tick)
        ticks.append(datetime.fromtimestamp(tick / 1000, UTC).strftime("%d %H:%M"))
    assert ticks == ["27 01:30", "28 01:30", "29 01:00", "30 00:30"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris"])
def test_the_text_is_read_back(zone: str) -> None:
    schedule = Schedule("0 3 * * 1-5", zone)
    assert read_schedule(schedule.text) == schedule


def test_words_tell_fields_and_zone() -> None:
    words = make_schedule("0 3 * * 1-5", "Europe/Paris").description
    assert words == "At 03:00 on Monday through Friday (Europe/Paris)"


@pytest.mark.parametrize(
    ("cron", "zone", "said"),
    [
        ("x * * * *", "UTC", "Bad minute"),
        ("* * * *", "UTC", "five fields"),
        ("* * * * * *", "UTC", "five fields"),
        ("0 0 30 2 *", "UTC", "Bad day-of-month"),
        ("* * * * *", "Mars/Olympus", "time zone 'Mars/Olympus'"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(cron: str, zone: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Registry().job("a.b", schedule=cron, time_zone=zone)(lambda: None)


def test_the_id_of_a_tick_names_it_and_is_legal_for_the_longest_type() -> None:
    assert tick_id("roads.sweep", ms(2026, 1, 1, 9)) == "hms:tick:roads.sweep:20260101T0900Z"
    long = tick_id("a" * 128, ms(2026, 1, 1, 9))
    assert check_job_id(long) == long
    assert long != tick_id("a" * 128, ms(2026, 1, 1, 10))


def test_the_id_of_a_tick_leaves_room_for_ids_that_go_on_from_it() -> None:
    for letters in range(1, 129):
        assert len(tick_id("a" * letters, ms(2026, 1, 1, 9))) <= 100


def test_a_machine_without_time_zone_data_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("tzdata", *(each for each in sys.modules if each.startswith("tzdata."))):
        monkeypatch.setitem(sys.modules, name, None)
    zoneinfo.reset_tzpath(to=())
    ZoneInfo.clear_cache()
    try:
        with pytest.raises(BadInput, match="no time-zone data: install the package tzdata"):
            make_schedule("0 3 * * *", "Europe/Paris")
        assert make_schedule("0 3 * * *").next_after(0) == 3 * 3_600_000
    finally:
        zoneinfo.reset_tzpath()


def test_zones_are_known_without_those_of_the_machine() -> None:
    zoneinfo.reset_tzpath(to=())
    ZoneInfo.clear_cache()
    try:
        assert make_schedule("0 3 * * *", "Europe/Paris").next_after(0) == 2 * 3_600_000
    finally:
        zoneinfo.reset_tzpath()
