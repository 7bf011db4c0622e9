"""Cron schedules: their ticks, their texts, and what is refused."""

from __future__ import annotations

import sys
import zoneinfo
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from hms_svc.domain.errors import BadInput
from hms_svc.domain.ids import check_job_id
from hms_svc.domain.schedule import Schedule, make_schedule, read_schedule, tick_id, type_of_tick
from hms_svc.sdk.registry import Registry


def ms(*at: int, zone: str = "UTC") -> int:
    return int(datetime(*at, tzinfo=ZoneInfo(zone)).timestamp() * 1000)  # type: ignore[arg-type, misc]  # a date and time of any length


def test_ticks_before_and_after_a_time() -> None:
    schedule = make_schedule("*/5 * * * *")
    at = ms(2026, 1, 1, 9, 4, 59)
    assert schedule.next_after(at) == ms(2026, 1, 1, 9, 5)
    assert schedule.next_after(ms(2026, 1, 1, 9, 5)) == ms(2026, 1, 1, 9, 10)
    assert schedule.last_before(at) == ms(2026, 1, 1, 9, 0)


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


@pytest.mark.parametrize(
    ("job_id", "type"),
    [
        ("hms:tick:roads.sweep:20260101T0900Z", "roads.sweep"),
        ("hms:tick:roads.sweep:20260101T0900Z.letter", ""),
        (tick_id("a" * 128, 0), ""),
        ("tick:roads.sweep:20260101T0900Z", ""),
        ("01a220c8-c826-7618-8115-0ab76f18072b", ""),
    ],
)
def test_the_id_of_a_tick_names_its_type(job_id: str, type: str) -> None:
    assert type_of_tick(job_id) == type


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
