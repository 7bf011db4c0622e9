"""Times as people read them: in their zone, which is named; UTC by a switch."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hms_svc.domain.errors import BadInput, BadSetting
from hms_svc.domain.local_time import ZONE, clock, moment, zone_name
from hms_svc.settings import load_settings

WINTER = 1_770_000_000_000  # 2026-02-02T02:40:00Z
SUMMER = 1_785_000_000_000  # 2026-07-25T17:20:00Z


@pytest.fixture(autouse=True)
def zone_as_before() -> Iterator[None]:
    yield
    ZONE.set("")
    ZONE.is_utc = False


@pytest.mark.parametrize(
    ("zone", "at", "written"),
    [
        ("UTC", WINTER, "2026-02-02 02:40:00 UTC"),
        ("America/New_York", WINTER, "2026-02-01 21:40:00 EST"),
        ("America/New_York", SUMMER, "2026-07-25 13:20:00 EDT"),
        ("Asia/Kolkata", WINTER, "2026-02-02 08:10:00 IST"),
    ],
)
def test_a_time_is_written_in_the_zone_that_was_set(zone: str, at: int, written: str) -> None:
    ZONE.set(zone)
    assert moment(at) == written
    assert written.split()[1] == clock(at)
    assert written.split()[2] == zone_name(at)
    ZONE.is_utc = True
    assert moment(at).endswith(" UTC")


def test_without_a_setting_the_machines_zone_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert moment(SUMMER) == "2026-07-25 13:20:00 EDT"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("far", [10**18, -(10**18), 253402387139000, -62135600400000])
def test_no_time_breaks_a_view(far: int) -> None:
    for zone in ("", "Pacific/Kiritimati", "Etc/GMT+12"):
        ZONE.set(zone)
        assert moment(far)


def test_a_zone_that_is_none_is_named() -> None:
    with pytest.raises(BadInput, match="Mars"):
        ZONE.set("Mars/Olympus")
    with pytest.raises(BadSetting, match=r"time_zone.*Mars"):
        load_settings({"time_zone": "Mars/Olympus"}, environ={"HMS_SVC_CONFIG": ""})
