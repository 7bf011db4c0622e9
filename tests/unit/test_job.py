"""The job envelope: which fields it takes, which it refuses, and by which name."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from hms_svc import Job, aio
from hms_svc.domain.errors import MalformedJob
from hms_svc.domain.ids import (
    JOB_ID,
    RESERVED_PREFIX,
    case_id,
    check_job_id,
    derived_id,
    event_id,
    is_reserved_id,
    new_job_id,
)
from hms_svc.domain.job import MAX_DATA_BYTES, make_job, read_job
from hms_svc.domain.strict_json import JsonValue, decode

NOW = 1_800_000_000_000


def test_reads_every_field_of_the_envelope() -> None:
    job = read_job(
        {
            "id": "a.b:c-1",
            "type": "pothole.report",
            "data": {"lat": 1.5},
            "not_before": "2027-01-15T08:00:01Z",
            "expires_at": "2027-01-15T10:00:00+02:00",
            "priority": -7,
            "max_attempts": 3,
            "unique_key": "k",
            "traceparent": "00-x",
            "meta": {"who": "ravi"},
            "retried_from": "older",
            "colour": "red",
        },
        now_ms=NOW,
    )
    assert (job.id, job.type, job.payload(), job.enqueued_at) == (
        "a.b:c-1",
        "pothole.report",
        {"lat": 1.5},
        NOW,
    )
    assert (job.not_before, job.expires_at) == (NOW + 1000, NOW)
    assert (job.priority, job.max_attempts, job.unique_key) == (-7, 3, "k")
    assert (job.traceparent, job.retried_from) == ("00-x", "older")
    assert decode(job.meta or b"") == {"who": "ravi"}
    assert decode(job.extra or b"") == {"colour": "red"}


def test_the_seeds_minimum_is_a_job_of_its_queues_type() -> None:
    job = read_job({"data": None}, now_ms=NOW, default_type="pothole.report")
    assert job.type == "pothole.report"
    assert JOB_ID.fullmatch(job.id)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "a b"}, "id"),
        ({"id": "a\n"}, "id"),
        ({"id": "x" * 129}, "id"),
        ({"id": 5}, "id"),
        ({"type": "Pothole"}, "type"),
        ({"type": ".x"}, "type"),
        ({"type": "x" * 129}, "type"),
        ({"type": None}, "type"),
        ({"priority": 1.5}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 1001}, "priority"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"unique_key": ""}, "unique_key"),
        ({"unique_key": "k" * 257}, "unique_key"),
        ({"not_before": 5}, "not_before"),
        ({"not_before": "tomorrow"}, "not_before"),
        ({"expires_at": "2027-01-15T08:00:00"}, "expires_at"),
        ({"meta": [1]}, "meta"),
        ({"data": "x" * MAX_DATA_BYTES}, "data"),
    ],
)
def test_names_the_field_at_fault(changes: dict[str, JsonValue], field: str) -> None:
    value: dict[str, JsonValue] = {"type": "pothole.report", "data": {}}
    with pytest.raises(MalformedJob) as caught:
        read_job(value | changes, now_ms=NOW)
    assert caught.value.field == field
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(5, "a number"), ("x", "a string"), ([], "an array"), (None, "null"), (True, "a boolean")],
)
def test_only_an_object_is_a_job(value: JsonValue, kind: str) -> None:
    with pytest.raises(MalformedJob, match=kind):
        read_job(value, now_ms=NOW)


def test_data_may_be_null_but_not_missing() -> None:
    assert read_job({"type": "x", "data": None}, now_ms=NOW).payload() is None
    with pytest.raises(MalformedJob, match="data is missing"):
        read_job({"type": "x"}, now_ms=NOW)


def test_data_of_exactly_the_limit_is_taken() -> None:
    text = "x" * (MAX_DATA_BYTES - 2)
    assert len(make_job("x", text, now_ms=NOW).data) == MAX_DATA_BYTES


def test_job_ids_of_ours_are_uuid_7_in_order_of_time() -> None:
    ids = [new_job_id() for _ in range(50)]
    assert len(set(ids)) == 50
    assert {uuid.UUID(each).version for each in ids} == {7}
    times = [int(each[:8] + each[9:13], 16) for each in ids]
    assert times == sorted(times)


def test_name_based_ids_are_the_same_for_the_same_names() -> None:
    assert case_id("a", "") == case_id("a", "") != case_id("a", "b")
    assert event_id("a", "case.opened", "1") != event_id("a", "case.opened", "2")
    namespace = uuid.UUID("6f2d6c1e-5a51-5c3b-9a57-3f1f0f0d8710")
    for number in range(50):
        given = str(uuid.uuid5(namespace, f"{number}\ncase\nÄ"))
        assert case_id(str(number), "Ä") == f"case-{given}"


@pytest.mark.parametrize(
    "kind", ["delivery", "envelope", "follow-up", "posted", "renamed", "unmapped"]
)
def test_derived_ids_are_legal_and_leave_room_for_a_further_part(kind: str) -> None:
    id = derived_id(kind, "x" * 1024, "")
    assert check_job_id(id) == id
    assert id.startswith(RESERVED_PREFIX)
    assert len(id) <= 100


def test_derived_ids_tell_their_parts_apart() -> None:
    same = derived_id("posted", "a", "b")
    assert same == derived_id("posted", "a", "b")
    others = [("a\nb",), ("a", "b", ""), ("a,b",), ("b", "a"), ('a","b',)]
    assert same not in {derived_id("posted", *parts) for parts in others}
    assert same != derived_id("envelope", "a", "b")


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"id": "hms:tick:x.y:20260101T0900Z"}, "id", "begins with hms:"),
        ({"id": "hms:"}, "id", "begins with hms:"),
        ({"type": "event.deliver"}, "type", "reserved for jobs that hms-svc creates itself"),
        ({"type": "envelope.receive"}, "type", "reserved for jobs that hms-svc creates itself"),
    ],
)
def test_what_hms_svc_makes_itself_is_not_handed_in(
    changes: dict[str, Any], field: str, told: str
) -> None:
    given: dict[str, Any] = {"type": "x.y", **changes}
    with pytest.raises(MalformedJob, match=told) as caught:
        read_job({**given, "data": {}}, now_ms=NOW)
    assert caught.value.field == field
    with pytest.raises(MalformedJob, match=told):
        Job(data={}, **given)
    with pytest.raises(MalformedJob, match=told):
        aio.Job(data={}, **given)


def test_ids_that_only_resemble_ours_are_taken() -> None:
    for id in ("hms", "hms-1", "HMS:1", "x:hms:1", "hms.:1"):
        assert read_job({"id": id, "type": "x.y", "data": {}}, now_ms=NOW).id == id


def test_an_original_may_have_an_id_of_ours() -> None:
    origin = derived_id("envelope", "s", "7")
    job = read_job({"type": "x.y", "data": {}, "retried_from": origin}, now_ms=NOW)
    assert job.retried_from == origin


TICK = "hms:tick:x.y:20260101T0900Z"


@pytest.mark.parametrize(
    ("id", "running", "reserved"),
    [
        (f"{TICK}.letter", TICK, False),
        (f"{TICK}:1", TICK, False),
        (TICK, TICK, True),
        (f"{TICK}.", TICK, True),
        (f"{TICK}7", TICK, True),
        (f"{TICK[:-1]}0.letter", TICK, True),
        (TICK, "", True),
        (TICK, "r1", True),
        (TICK, "hms", True),
        ("r1.letter", TICK, False),
        ("r1.letter", "r1", False),
    ],
)
def test_a_running_job_of_ours_may_go_on_from_its_own_id(
    id: str, running: str, reserved: bool
) -> None:
    assert is_reserved_id(id, running) is reserved
