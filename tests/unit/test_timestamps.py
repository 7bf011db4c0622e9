"""Times: one grammar, one range, and a text for whatever number a record holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.api.jobs import Job
from hms_svc.domain.errors import BadInput, MalformedJob
from hms_svc.domain.filter_terms import read_duration_ms
from hms_svc.domain.job import make_job, read_job
from hms_svc.domain.timestamps import LAST_MS, check_time, from_rfc3339, to_rfc3339


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("2026-11-28T06:00:00Z", "2026-11-28T06:00:00.000Z"),
        ("2026-11-28t06:00:00z", "2026-11-28T06:00:00.000Z"),
        ("2026-11-28T06:00:00.5Z", "2026-11-28T06:00:00.500Z"),
        ("2026-11-28T06:00:00.123999Z", "2026-11-28T06:00:00.123Z"),
        ("2026-11-28T06:00:00+05:30", "2026-11-28T00:30:00.000Z"),
        ("2026-11-28T06:00:00-00:00", "2026-11-28T06:00:00.000Z"),
        ("1990-12-31T23:59:60Z", "1991-01-01T00:00:00.000Z"),
        ("1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00.000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
        ("1969-12-31T23:00:00-01:00", "1970-01-01T00:00:00.000Z"),
        ("9001-01-01T00:59:59+01:00", "9000-12-31T23:59:59.000Z"),
    ],
)
def test_a_time_of_the_standard_is_read(text: str, same_as: str) -> None:
    assert to_rfc3339(from_rfc3339(text)) == same_as


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-28",
        "06:00:00Z",
        "2026-W01-1T00:00:00Z",
        "2026-001T00:00:00Z",
        "20260101T000000Z",
        "2026-01-01T00Z",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00+05",
        "2026-01-01T00:00:00+0530",
        "2026-01-01T00:00:00+05:30:30",
        "2026-01-01T00:00:00+05:30:30.5",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+05:60",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00.Z",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-11-28T06:00:60Z",
        "2026-11-28T23:59:60Z",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "٢٠٢٦-01-01T00:00:00Z",
        "+2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z" + "0" * 100,
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+01:00",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00+00:01",
        "9001-01-01T00:00:00Z",
        "9000-12-31T23:59:59-00:01",
        "9000-12-31T23:59:60Z",
    ],
)
def test_any_other_text_is_refused_at_every_edge(text: str) -> None:
    with pytest.raises(BadInput):
        from_rfc3339(text)
    for field in ("not_before", "expires_at"):
        with pytest.raises(MalformedJob, match=field):
            read_job({"type": "a.b", "data": 1, field: text}, now_ms=0)


@given(st.integers(0, LAST_MS))
def test_what_is_written_is_read_back(unix_ms: int) -> None:
    assert from_rfc3339(to_rfc3339(unix_ms)) == unix_ms


@given(
    st.datetimes(
        datetime.fromisoformat("1971-01-01"),
        datetime.fromisoformat("8999-01-01"),
        timezones=st.timezones(),
    )
)
def test_a_time_is_what_python_takes_it_for(moment: datetime) -> None:
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    if (whole.utcoffset() or timedelta(0)) % timedelta(minutes=1):
        return  # an offset with seconds, as local times once had, is none of the standard
    expected = (whole - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert from_rfc3339(whole.isoformat()) == expected


@pytest.mark.parametrize(
    ("unix_ms", "text"),
    [
        (-1, "1969-12-31T23:59:59.999Z"),
        (253402387139000, "+10000-01-01T23:58:59.000Z"),
        (-62135600400000, "0000-12-31T23:00:00.000Z"),
        (-(2**63), "-292275055-05-16T16:47:04.192Z"),
    ],
)
def test_any_number_has_a_text(unix_ms: int, text: str) -> None:
    assert to_rfc3339(unix_ms) == text


@given(st.integers())
def test_no_number_breaks_a_text(unix_ms: int) -> None:
    assert to_rfc3339(unix_ms).endswith("Z")


FAR = (-1, LAST_MS + 1, 2**63)


@pytest.mark.parametrize("unix_ms", FAR)
def test_numbers_outside_of_the_range_are_refused(unix_ms: int) -> None:
    with pytest.raises(BadInput, match="1970 to 9000"):
        check_time(unix_ms)
    with pytest.raises(MalformedJob, match="not_before"):
        make_job("a.b", 1, now_ms=0, not_before=unix_ms)
    with pytest.raises(MalformedJob, match="expires_at"):
        make_job("a.b", 1, now_ms=0, expires_at=unix_ms)


@pytest.mark.parametrize(
    "fields",
    [
        {"delay": timedelta.max},
        {"delay": timedelta.min},
        {"delay": timedelta(days=2_920_000)},
        {"delay": 5},
        {"not_before": datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-23)))},
        {"not_before": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))},
        {"not_before": datetime.fromisoformat("2026-01-01")},
        {"not_before": "2026-01-01T00:00:00Z"},
        {"expires_at": datetime(9001, 1, 1, tzinfo=UTC)},
        {"expires_at": datetime(1969, 1, 1, tzinfo=UTC)},
    ],
)
def test_python_values_are_held_to_the_same_range(fields: dict[str, object]) -> None:
    with pytest.raises(MalformedJob, match=r"not_before|expires_at|delay"):
        Job("a.b", 1, **fields)  # type: ignore[arg-type]  # fields of any name and type


def test_a_delay_is_from_now() -> None:
    job = Job("a.b", 1, delay=timedelta(hours=1)).envelope
    assert job.not_before == job.enqueued_at + 3_600_000


@pytest.mark.parametrize("text", ["400000w", "999999999999w", "1e9", "-1s", "", "1y"])
def test_an_endless_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration such as"):
        read_duration_ms(text)
