"""Unknown fields of a job whose names are options elsewhere: refused everywhere, with what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from hms_svc.api.new_job import NewJob
from hms_svc.brokers.intake import read_item
from hms_svc.cli.enqueue import enqueue
from hms_svc.domain.errors import MalformedJob
from hms_svc.domain.job import read_job
from hms_svc.domain.job_fields import NAMES
from hms_svc.domain.strict_json import JsonValue, decode, encode
from hms_svc.sdk.registry import Registry

OF_THE_COMMAND = {
    "context",
    "files",
    "type_name",
    "assignments",
    "wait",
    "no_check",
    "raw",
    "as_json",
}
"""Parameters of `hms-svc enqueue` that say nothing about a job."""


def options(*functions: Callable[..., Any]) -> set[str]:
    return {name for each in functions for name in inspect.signature(each).parameters}


def with_field(name: str) -> dict[str, JsonValue]:
    return {"type": "crew.notify", "data": {"case_id": "c"}, name: None}


@pytest.mark.parametrize(
    "name",
    sorted(
        options(NewJob.__init__, enqueue, Registry.job) - {"self", *NAMES, *OF_THE_COMMAND},
    ),
)
def test_every_option_that_is_no_field_is_refused(name: str) -> None:
    with pytest.raises(MalformedJob) as refused:
        read_job(with_field(name), now_ms=0)
    assert refused.value.field == name
    assert str(refused.value).startswith(f"unknown field {name!r}: ")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("delay", "write not_before"),
        ("at", "write not_before"),
        ("payload", "write data"),
        ("unique", "write unique_key"),
        ("retries", "write max_attempts"),
        ("maxRetries", "write max_attempts"),
        ("timeoutSeconds", "timeout_seconds is declared with the job type"),
        ("count", "submit the job once for each copy"),
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


@pytest.mark.parametrize("name", ["source", "district", "attempt", "state", "attributes", "delays"])
def test_other_unknown_fields_are_kept(name: str) -> None:
    kept = read_job(with_field(name), now_ms=0)
    assert kept.extra is not None
    assert decode(kept.extra) == {name: None}
