"""An argument of a wrong type is a BadInput with the argument, its value and what is expected; nothing is sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import Any

import pytest

from hms_svc import BadInput, Batch, Job, aio, chain, dao, jobs, sql
from tests.support.own_portal import own_portal
from tests.support.permits import apply

__all__ = ["own_portal"]

pytestmark = pytest.mark.usefixtures("own_portal")
NOTHING: Any = None
NUMBER: Any = 3
TEXT: Any = "x"
LIST: Any = []
OBJECT: Any = {"parcel": "17"}
PLACE = {"lat": 38.9, "lon": -77.03}


def new_job() -> Job:
    return Job("drill.run", {}, id="drill-1")


def awaited(call: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[[Any], Any]:
    return lambda value: asyncio.run(call(value))


ONE: dict[str, Callable[[Any], Any]] = {
    "jobs.enqueue": jobs.enqueue,
    "aio.jobs.enqueue": awaited(aio.jobs.enqueue),
    "tx.enqueue": lambda value: sql.transaction(lambda tx: tx.enqueue(value)),
}
MANY: dict[str, Callable[[Any], Any]] = {
    "Job.enqueue_all": Job.enqueue_all,
    "aio.Job.enqueue_all": awaited(aio.Job.enqueue_all),
}


@pytest.mark.parametrize("call", ONE)
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"secret": "hunter2"}, "expected hms_svc.Job, got dict, such as Job("),
        (None, "expected hms_svc.Job, got NoneType, such as Job("),
        ("drill.run", "expected hms_svc.Job, got str, such as Job("),
    ],
)
def test_what_is_no_job(call: str, value: Any, shown: str) -> None:
    with pytest.raises(BadInput) as caught:
        ONE[call](value)
    assert str(caught.value).startswith(f"{call}: {shown}")
    assert jobs.list() == []


@pytest.mark.parametrize(
    ("call", "right"),
    [
        ("jobs.enqueue", "hms_svc.Job.enqueue_all(jobs), or hms_svc.Batch(jobs)"),
        ("aio.jobs.enqueue", "hms_svc.Job.enqueue_all(jobs), or hms_svc.Batch(jobs)"),
        ("tx.enqueue", "tx.enqueue(*jobs)"),
    ],
)
def test_several_jobs_where_one_is_expected_name_the_call_for_several(
    call: str, right: str
) -> None:
    with pytest.raises(BadInput) as caught:
        ONE[call]([new_job(), new_job()])
    assert str(caught.value) == (
        f"{call}: expected hms_svc.Job, got list; for several jobs: {right}"
    )
    assert jobs.list() == []


@pytest.mark.parametrize("call", MANY)
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "expected a list of jobs, got NoneType"),
        ("drill.run", "expected a list of jobs, got str"),
        (new_job(), "expected a list of jobs, got Job"),
        ([new_job(), {}], "expected hms_svc.Job, got dict, such as Job(type, data)"),
        ([[]], "expected hms_svc.Job, got list; for several jobs: a single list"),
    ],
)
def test_what_is_no_list_of_jobs(call: str, value: Any, shown: str) -> None:
    with pytest.raises(BadInput) as caught:
        MANY[call](value)
    assert str(caught.value) == f"{call}: {shown}"
    assert jobs.list() == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Batch(NOTHING), "Batch: expected a list of jobs, got NoneType"),
        (
            lambda: Batch([new_job()], then=NOTHING),
            "Batch(then=…): expected a list of jobs, got NoneType",
        ),
        (lambda: chain(LIST), "a batch takes jobs, such as apply.job(payload), not list"),
        (
            lambda: apply.enqueue_all_blocking(NOTHING),
            "apply.enqueue_all_blocking: expected a list of payloads, got NoneType",
        ),
        (
            lambda: asyncio.run(apply.enqueue_all(OBJECT)),
            "apply.enqueue_all: expected a list of payloads, got dict",
        ),
        (lambda: Job("drill.run", {}, meta=NUMBER), "meta must be an object, not a number"),
        (lambda: Job("drill.run", {}, traceparent=NUMBER), "traceparent 3 "),
        (lambda: jobs.get(LIST), "id [] is not a text such as"),
        (lambda: jobs.batch(LIST), "id [] is not a text such as"),
        (lambda: jobs.list(NUMBER), "where 3 is not a text such as 'type:permit.apply state:dead'"),
        (
            lambda: sql.transaction(NUMBER),
            "transaction: 3 is not a function that takes the transaction",
        ),
        (lambda: dao.insert_case(TEXT, kind="pothole"), "data is str, not an object such as"),
        (lambda: dao.insert_case(PLACE, NUMBER, kind="pothole"), "key 3 is not a text such as"),
        (
            lambda: dao.insert_case(PLACE, events=[TEXT], kind="pothole"),
            "event 0 is str, not {'type': …, 'data': …}",
        ),
        (
            lambda: dao.insert_case(PLACE, events=NUMBER, kind="pothole"),
            "events is int, not a list of {'type': …, 'data': …}",
        ),
        (lambda: dao.insert_case(PLACE, kind=LIST), "kind [] is not a text such as"),
        (
            lambda: dao.insert_case(PLACE, kind="pothole", urgency=TEXT),
            "urgency 'x' is not a whole number, or None",
        ),
        (lambda: dao.case_exists(38.9, -77.03, kind=NUMBER), "kind 3 is not a text such as"),
        (
            lambda: dao.insert_case(PLACE, kind="pothole", urgency=2**70),
            "urgency 1180591620717411303424 is not a whole number, or None",
        ),
        (
            lambda: dao.insert_case(PLACE, "\ud800", kind="pothole"),
            "key '\\ud800' is not a text that can be stored as UTF-8",
        ),
        (lambda: jobs.get("\ud800"), "id '\\ud800' is not a text that can be stored as UTF-8"),
        (lambda: Job("drill.run", {}, traceparent="\ud800"), "the value: a lone surrogate"),
        (lambda: dao.case_exists(38.9, -77.03, radius_m=10**400), "radius_m 1000000"),
        (
            lambda: dao.case_exists(38.9, -77.03, radius_m=TEXT),
            "radius_m 'x' is not a number of metres from 0",
        ),
    ],
)
def test_an_argument_of_another_type(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        call()
    assert str(caught.value).startswith(message)


def test_a_reason_that_is_no_text_cancels_nothing() -> None:
    waiting: Any = [jobs.enqueue(new_job()), Batch([Job("drill.run", {})]).enqueue_blocking()]
    for handle in waiting:
        with pytest.raises(BadInput, match="reason 3 is not a text such as"):
            handle.cancel(3)
    assert {each.last_state for each in jobs.list()} == {"queued"}


class Level(IntEnum):
    HIGH = 3


class Metres(float):
    """A number of a library's own, such as numpy.float64."""


def test_values_that_only_look_like_others_are_taken() -> None:
    events: Any = deque([{"type": "permit.seen", "data": 1}])
    dao.insert_case(PLACE, events=events, kind="pothole", urgency=Level.HIGH)
    assert dao.case_exists(*PLACE.values(), radius_m=Metres(10))
    assert Job("drill.run", {}, traceparent="", tracestate="").envelope.tracestate is None
    assert Job.enqueue_all(dict.fromkeys([new_job()])) == ["queued"]


def test_a_value_that_cannot_be_shown_is_refused_all_the_same() -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    shy: Any = Shy()
    for call in (jobs.enqueue, jobs.get, lambda value: dao.insert_case(value, kind="pothole")):
        with pytest.raises(BadInput):
            call(shy)
