"""Unknown fields of a job whose names are options elsewhere: refused everywhere, with what to write instead."""

from __future__ import annotations

import pytest

from hms_svc.brokers.intake import read_item
from hms_svc.domain.errors import MalformedJob
from hms_svc.domain.job import read_job
from hms_svc.domain.strict_json import JsonValue, decode, encode


def with_field(name: str) -> dict[str, JsonValue]:
    return {"type": "crew.notify", "data": {"case_id": "c"}, name: None}


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("delay", "write not_before"),
        ("payload", "write data"),
        ("unique", "write unique_key"),
        ("retries", "write max_attempts"),
        ("maxRetries", "write max_attempts"),
        ("timeoutSeconds", "timeout_seconds is declared with the job type"),
    ],
)
def test_the_error_says_what_to_write_instead(name: str, instead: str) -> None:
    with pytest.raises(MalformedJob, match=f"unknown field '{name}': {instead}"):
        read_job(with_field(name), now_ms=0)
    pushed = encode({"data": {"case_id": "c"}, name: 1})
    with pytest.raises(MalformedJob, match=f"unknown field '{name}': {instead}"):
        read_item("crew.notify", pushed, 0)


def test_it_is_refused_beside_the_right_field_and_read_from_a_stored_record() -> None:
    job = with_field("delay") | {"not_before": "2030-01-01T00:00:00Z"}
    with pytest.raises(MalformedJob, match="'delay'"):
        read_job(job, now_ms=0)
    kept = read_job(job, now_ms=0, any_names=True)
    assert kept.extra is not None
    assert decode(kept.extra) == {"delay": None}


@pytest.mark.parametrize(
    "name", ["source", "attempt", "state", "attributes", "action", "count", "schedule"]
)
def test_other_unknown_fields_are_kept(name: str) -> None:
    kept = read_job(with_field(name), now_ms=0)
    assert kept.extra is not None
    assert decode(kept.extra) == {name: None}
