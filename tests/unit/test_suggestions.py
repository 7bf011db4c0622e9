"""Names that can only be known ones misspelt, and names that may be one's own."""

from __future__ import annotations

from typing import Any

import pytest

from hms_svc.domain.errors import FieldFault, MalformedJob
from hms_svc.domain.job import read_job
from hms_svc.domain.strict_json import JsonValue, decode
from hms_svc.domain.suggestions import did_you_mean, misspelt

KNOWN = ("id", "data", "priority", "not_before", "expires_at", "unique_key", "meta", "enqueued_at")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("prioriy", "priority"),
        ("pirority", "priority"),
        ("priorityy", "priority"),
        ("Priority", "priority"),
        ("notBefore", "not_before"),
        ("not-befor", "not_before"),
        ("expires", "expires_at"),
        ("uniqe_key", "unique_key"),
        ("ID", "id"),
        ("mta", "meta"),
        ("expires_in", "expires_at"),
        ("ids", ""),
        ("di", ""),
        ("metadata", ""),
        ("note", ""),
        ("expiry", ""),
        ("before", ""),
        ("", ""),
        ("tracestate", ""),
        ("priority_class", ""),
        ("unique", ""),
        ("beta", ""),
        ("metal", ""),
        ("tame", ""),
        ("riority", "priority"),
        ("enqueuedAt", "enqueued_at"),
        ("enqued_at", "enqueued_at"),
        ("requeued_at", ""),
        ("dequeued_at", ""),
        ("queued_at", ""),
    ],
)
def test_a_name_is_misspelt_where_hardly_another_can_be_meant(name: str, meant: str) -> None:
    assert misspelt(name, KNOWN) == meant


def test_the_nearest_name_is_told_where_one_is_near() -> None:
    assert did_you_mean("stat", ("status", "kind")) == "; did you mean status?"
    assert did_you_mean("xyz", ("status", "kind")) == ""


def faults(value: Any) -> tuple[FieldFault, ...]:
    with pytest.raises(MalformedJob) as caught:
        read_job(value, now_ms=0)
    return caught.value.faults


def test_every_field_of_a_job_that_is_at_fault_is_told() -> None:
    found = faults(
        {
            "id": "a b",
            "type": "X",
            "not_before": 1,
            "expires_at": "soon",
            "priority": "high",
            "max_attempts": 0,
            "unique_key": "",
            "traceparent": 7,
            "meta": [],
            "retried_from": "",
        }
    )
    assert [fault.field for fault in found] == [
        "id",
        "type",
        "data",
        "not_before",
        "expires_at",
        "priority",
        "max_attempts",
        "unique_key",
        "traceparent",
        "meta",
        "retried_from",
    ]
    assert all(fault.detail.startswith(fault.field) for fault in found)


def test_a_misspelt_field_is_a_fault_beside_others_and_another_name_is_kept() -> None:
    job: dict[str, JsonValue] = {
        "type": "x.y",
        "data": {},
        "date": "kept",
        "prority": 1,
        "maxAttempts": 2,
        "meta": 3,
    }
    found = faults(job)
    assert [fault.field for fault in found] == ["prority", "maxAttempts", "meta"]
    assert found[0].detail == "unknown field 'prority'; did you mean priority?"
    kept = read_job(job | {"meta": {}}, now_ms=0, any_names=True)
    assert kept.extra is not None
    assert set(decode(kept.extra)) == {"date", "prority", "maxAttempts"}
    right: dict[str, JsonValue] = {
        "type": "x.y",
        "data": {},
        "priority": 1,
        "priorit": "ours",
        "date": 1,
    }
    kept = read_job(right, now_ms=0)
    assert kept.extra is not None
    assert set(decode(kept.extra)) == {"priorit", "date"}
