"""An argument of a wrong type is a BadInput with the argument, its value and what is expected; nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
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
        (
            {"type": "drill.run"},
            "{'type': 'drill.run'} is dict, expected hms_svc.Job, such as Job(",
        ),
        (None, "None is NoneType, expected hms_svc.Job, such as Job("),
        ("drill.run", "'drill.run' is str, expected hms_svc.Job, such as Job("),
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
    assert str(caught.value).startswith(f"{call}: [Job(id='drill-1', type='drill.run'), Job(")
    assert str(caught.value).endswith(f" is list, expected hms_svc.Job; for several jobs: {right}")
    assert jobs.list() == []


@pytest.mark.parametrize("call", MANY)
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None is NoneType, expected a list of jobs"),
        ("drill.run", "'drill.run' is str, expected a list of jobs"),
        (new_job(), "Job(id='drill-1', type='drill.run') is Job, expected a list of jobs"),
        ([new_job(), {}], "{} is dict, expected hms_svc.Job, such as Job(type, data)"),
        ([[]], "[] is list, expected hms_svc.Job; for several jobs: a single list"),
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
        (lambda: Batch(NOTHING), "Batch: None is NoneType, expected a list of jobs"),
        (
            lambda: Batch([new_job()], then=NOTHING),
            "Batch(then=…): None is NoneType, expected a list of jobs",
        ),
        (lambda: chain(LIST), "a batch takes jobs, such as apply.job(payload), not list []"),
        (
            lambda: apply.enqueue_all_blocking(NOTHING),
            "apply.enqueue_all_blocking: None is NoneType, expected a list of payloads",
        ),
        (
            lambda: asyncio.run(apply.enqueue_all(OBJECT)),
            "apply.enqueue_all: {'parcel': '17'} is dict, expected a list of payloads",
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
        (lambda: dao.insert_case(TEXT, kind="pothole"), "data 'x' is not an object such as"),
        (lambda: dao.insert_case(PLACE, NUMBER, kind="pothole"), "key 3 is not a text such as"),
        (
            lambda: dao.insert_case(PLACE, events=[TEXT], kind="pothole"),
            "events ['x'] is not a list of {'type': …, 'data': …}",
        ),
        (lambda: dao.insert_case(PLACE, kind=LIST), "kind [] is not a text such as"),
        (
            lambda: dao.insert_case(PLACE, kind="pothole", urgency=TEXT),
            "urgency 'x' is not a whole number, or None",
        ),
        (lambda: dao.case_exists(38.9, -77.03, kind=NUMBER), "kind 3 is not a text such as"),
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
