"""Jobs come in over HTTP: all or none, once, and only where they are durable."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from hms_svc.brokers.sqlite.broker import SQLiteBroker
from hms_svc.domain.errors import BrokerUnavailable, DatabaseUnavailable
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobView
from hms_svc.operations.batched_submission import _Key
from hms_svc.persistence.accepted_keys import SqlAcceptedKeys
from hms_svc.ports.broker import Enqueued
from hms_svc.ports.stores import AcceptedKey
from tests.support.api import NOTICE, POTHOLE, ApiService, ServiceMaker
from tests.support.http_wire import accepted
from tests.support.redis_server import RedisMaker

JOB = {"type": "crew.notify", "data": NOTICE}


async def test_a_job_is_accepted_and_can_be_followed_to_its_record(any_service: ApiService) -> None:
    answer = await any_service.post({"type": "pothole.report", "data": POTHOLE})
    assert answer.status_code == 202
    shape = answer.json()
    assert (shape["type"], shape["state"], shape["exists"]) == ("pothole.report", "queued", False)
    assert answer.headers["location"] == f"/jobs/{shape['id']}"
    record = (await any_service.client.get(answer.headers["location"])).json()
    assert (record["id"], record["state"], record["data"]) == (shape["id"], "queued", POTHOLE)


async def test_an_array_is_accepted_whole(any_service: ApiService) -> None:
    answer = await any_service.post([JOB, {**JOB, "id": "mine-1"}])
    assert answer.status_code == 202
    assert [each["id"] for each in answer.json()][1] == "mine-1"
    assert "location" not in answer.headers
    assert await accepted(any_service) == 2


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ([JOB, {"type": "pothole.report", "data": {**POTHOLE, "lat": 95}}], 422, "data.lat"),
        ([JOB, 3], 422, "a job is a JSON object, not a number"),
        ([{**JOB, "id": "a"}, {**JOB, "id": "a", "data": {"case_id": "x"}}], 409, "occurs twice"),
        ([], 422, "an array of 0 jobs"),
        ({**JOB, "priority": "high"}, 422, "priority 'high'"),
        ({**JOB, "expires_at": "9999-12-31T23:59:59-23:59"}, 422, "1970 to 9000"),
        ({**JOB, "not_before": "0001-01-01T00:00:00+01:00"}, 422, "1970 to 9000"),
        ({**JOB, "not_before": "2026-W01-1T00:00:00Z"}, 422, "not an RFC 3339 time"),
        ({"data": {}}, 422, "type is missing"),
        ({**JOB, "id": "no spaces"}, 422, "id 'no spaces'"),
    ],
)
async def test_one_fault_and_nothing_is_accepted(
    service: ApiService, body: object, status: int, told: str
) -> None:
    answer = await service.post(body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.text
    assert await accepted(service) == 0


async def test_an_id_that_is_taken_is_refused_and_the_same_job_is_the_same(
    any_service: ApiService,
) -> None:
    first = {**JOB, "id": "mine-1"}
    assert (await any_service.post(first)).json()["exists"] is False
    assert (await any_service.post(first)).json()["exists"] is True
    other = {**first, "data": {"case_id": "case-2"}}
    assert (await any_service.post(other)).status_code == 409
    assert (await any_service.post([JOB, other])).status_code == 409
    assert await accepted(any_service) == 1


async def test_a_request_repeated_under_its_key_is_answered_as_before(
    any_service: ApiService,
) -> None:
    first = await any_service.post(JOB, idempotency_key="k-1")
    [claimed] = await any_service.claim()
    await any_service.settle(claimed)
    again = await any_service.post(JOB, idempotency_key="k-1")
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert await accepted(any_service) == 1


async def test_another_request_under_a_used_key_is_refused(any_service: ApiService) -> None:
    await any_service.post(JOB, idempotency_key="k-1")
    for body in ({**JOB, "priority": 1}, [JOB]):
        answer = await any_service.post(body, idempotency_key="k-1")
        assert answer.status_code == 422
        assert answer.json()["type"] == "urn:hms-svc:problem:key-reused"
    assert (await any_service.post(JOB, idempotency_key="k-2")).status_code == 202
    assert await accepted(any_service) == 2


async def test_jobs_whose_key_could_not_be_kept_are_not_made_again(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(self: SqlAcceptedKeys, kept: list[AcceptedKey]) -> None:
        raise DatabaseUnavailable("it went away")

    with monkeypatch.context() as patched:
        patched.setattr(SqlAcceptedKeys, "keep", lose)
        first = await service.post([JOB, JOB], idempotency_key="k-1")
        assert first.status_code == 202
    again = await service.post([JOB, JOB], idempotency_key="k-1")
    assert [each["id"] for each in again.json()] == [each["id"] for each in first.json()]
    assert {each["exists"] for each in again.json()} == {True}
    assert await accepted(service) == 2


OTHER = {**JOB, "data": {"case_id": "case-2"}}


async def forget_keys(service: ApiService) -> None:
    """Sweep the keys, as it is done once they are a day old."""
    with closing(sqlite3.connect(service.api.settings.data_dir / "cases.db")) as database:
        database.execute("DELETE FROM accepted_keys")
        database.commit()


async def test_a_key_that_was_forgotten_makes_all_jobs_of_its_next_request(
    service: ApiService,
) -> None:
    requests: list[list[object]] = [[JOB], [JOB, OTHER, JOB], [JOB, OTHER, JOB]]
    made: list[str] = []
    for request in requests:
        answer = await service.post(request, idempotency_key="nightly")
        assert (answer.status_code, {each["exists"] for each in answer.json()}) == (202, {False})
        made += [each["id"] for each in answer.json()]
        await forget_keys(service)
    assert len(set(made)) == await accepted(service) == 7


async def test_of_different_requests_at_once_under_one_key_one_is_accepted(
    service: ApiService,
) -> None:
    def request(number: int) -> list[object]:
        return [{**JOB, "data": {"case_id": f"case-{number}"}}] * (number + 1)

    answers = await asyncio.gather(
        *(service.post(request(number), idempotency_key="k-1") for number in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [202, *[422] * 7]
    [won] = [answer for answer in answers if answer.status_code == 202]
    assert await accepted(service) == len(won.json())


async def test_a_request_cut_off_behind_its_key_is_repeated_and_no_other_takes_it(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(self: object, jobs: object) -> list[Enqueued]:
        raise BrokerUnavailable("it went away")

    with monkeypatch.context() as patched:
        patched.setattr(SQLiteBroker, "enqueue", cut)
        assert (await service.post([JOB, JOB], idempotency_key="k-1")).status_code == 503
    assert (await service.post([OTHER], idempotency_key="k-1")).status_code == 422
    again = await service.post([JOB, JOB], idempotency_key="k-1")
    assert (again.status_code, {each["exists"] for each in again.json()}) == (202, {False})
    last = await service.post([JOB, JOB], idempotency_key="k-1")
    assert (last.content, last.headers["idempotency-replayed"]) == (again.content, "true")
    assert await accepted(service) == 2


async def test_a_request_that_is_at_fault_leaves_its_key_free(service: ApiService) -> None:
    await service.post({**JOB, "id": "mine"})
    for fault in ({**JOB, "priority": "high"}, {**OTHER, "id": "mine"}):
        assert (await service.post(fault, idempotency_key="k-1")).status_code in {409, 422}
    assert (await service.post(JOB, idempotency_key="k-1")).status_code == 202


async def test_jobs_of_a_key_that_were_erased_are_there_all_the_same(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(self: SqlAcceptedKeys, kept: list[AcceptedKey]) -> None:
        raise DatabaseUnavailable("it went away")

    with monkeypatch.context() as patched:
        patched.setattr(SqlAcceptedKeys, "keep", lose)
        first = (await service.post(JOB, idempotency_key="k-1")).json()
    [claimed] = await service.claim()
    await service.settle(claimed)
    assert (await service.backend.control.erase([first["id"]]))[0].done
    again = await service.post(JOB, idempotency_key="k-1")
    assert (again.status_code, again.json()) == (
        202,
        {**first, "state": "completed", "exists": True},
    )


def test_no_senders_key_is_that_of_a_job() -> None:
    job = make_job("x.y", {}, now_ms=1)
    theirs = _Key.of_request("job", job.id, b"{}")
    assert theirs.digest != _Key.of_job(job).digest
    assert _Key.of_request("a", "b\nc", b"{}").digest != _Key.of_request("a\nb", "c", b"{}").digest


async def test_an_id_of_ours_is_refused_and_the_same_number_is_not_the_same_truth(
    any_service: ApiService,
) -> None:
    refused = await any_service.post({**JOB, "id": "hms:tick:x.y:20260101T0900Z"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "id")
    assert "begins with hms:" in refused.text
    first = {"id": "same", "type": "x.y", "data": {"urgent": 1}}
    assert (await any_service.post(first)).status_code == 202
    assert (await any_service.post({**first, "data": {"urgent": True}})).status_code == 409
    assert (await any_service.post([{**first, "data": {"urgent": True}}])).status_code == 409
    assert (await any_service.post({**first, "data": {"urgent": 1.0}})).json()["exists"] is True


async def test_a_whole_number_of_any_size_may_come_with_a_key(service: ApiService) -> None:
    job = {"type": "x.y", "data": {"far": 1e300, "odd": 2**53 + 1, "none": -0.0}}
    answers = [await service.post(job, idempotency_key="k-1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]


async def jobs_of(service: ApiService) -> list[JobView]:
    page = await service.backend.inspection.page(parse_filter(""), limit=0, cursor=None)
    return list(page.jobs)


async def test_the_same_request_in_other_words_is_the_same(service: ApiService) -> None:
    first = b'{"type":"pothole.report","data":{"user_id":"usr-1","lat":38.0,"lon":-77}}'
    other = b'{"data": {"lon": -77.0, "lat": 38, "user_id": "usr-1"}, "type": "pothole.report"}'
    headers = {"content-type": "application/json", "idempotency-key": "k-1"}
    answers = [
        await service.client.post("/jobs", content=body, headers=headers) for body in (first, other)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize("type", ["event.deliver", "envelope.receive"])
async def test_what_is_made_by_ourselves_alone_is_not_handed_in(
    service: ApiService, type: str
) -> None:
    forged = {"type": type, "data": {"receiver": "act", "event": {"type": "case.closed"}}}
    answer = await service.post(forged)
    assert (answer.status_code, "reserved for jobs that hms-svc creates itself" in answer.text) == (
        422,
        True,
    )


async def test_arrays_that_race_for_one_id_are_told_what_became_of_the_rest(
    service: ApiService,
) -> None:
    def array(number: int) -> list[object]:
        return [{**JOB, "id": "mine", "data": {"case_id": f"case-{number}"}}, JOB]

    answers = await asyncio.gather(*(service.post(array(number)) for number in range(8)))
    refused = [answer for answer in answers if answer.status_code == 409]
    assert len(refused) == 7
    late = [answer for answer in refused if "the other 1 of the request" in answer.text]
    assert await accepted(service) == 2 + len(late)


async def test_many_at_once_under_one_key_make_one_job(any_service: ApiService) -> None:
    answers = await asyncio.gather(
        *(any_service.post(JOB, idempotency_key="k-1") for _ in range(20))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await accepted(any_service) == 1


async def test_a_full_queue_answers_429_until_there_is_room(make_service: ServiceMaker) -> None:
    service = await make_service(queue_limit=3)
    assert (await service.post([JOB] * 4)).status_code == 429
    assert (await service.post([JOB] * 3)).status_code == 202
    refused = await service.post()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    assert (
        "3 jobs of crew.notify wait, and 1 more would exceed the limit of 3"
        in refused.json()["detail"]
    )
    await service.claim(limit=1)
    mine = {**JOB, "id": "mine"}
    assert (await service.post(mine)).status_code == 202
    await service.claim(limit=1)
    answers = [await service.post(mine) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [202] * 5
    assert await accepted(service) == 4


async def test_a_paused_intake_answers_503_and_says_who_paused_it(any_service: ApiService) -> None:
    await any_service.post()
    paused = {"reason": "flood", "intake": True}
    answer = await any_service.client.post("/queues/crew.notify/pause", json=paused)
    assert answer.json() == {"type": "crew.notify", "paused": True, "intake_paused": True}
    refused = await any_service.post()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
    assert "tester has paused it (flood)" in refused.json()["detail"]
    await any_service.client.post("/queues/crew.notify/resume")
    assert (await any_service.post()).status_code == 202


async def test_without_the_broker_nothing_is_accepted_and_then_it_is_again(
    make_service: ServiceMaker, make_redis: RedisMaker
) -> None:
    server = make_redis(appendonly="always")
    service = await make_service(broker_url=server.url())
    assert (await service.post()).status_code == 202
    server.kill()
    refused = await service.post()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert (await service.client.get("/readyz")).text == "broker\n"
    server.start()
    assert (await service.post()).status_code == 202
    assert await accepted(service) == 2
    assert len(await service.claim()) == 2
    assert [job.state for job in await jobs_of(service)] == [State.PROCESSING] * 2


async def test_a_full_broker_is_told_by_readiness_and_metrics(
    make_service: ServiceMaker, make_redis: RedisMaker
) -> None:
    server = make_redis()
    service = await make_service(broker_url=server.url())
    assert (await service.client.get("/readyz")).text == "ready\n"
    assert (
        'hms_broker_refused_total{kind="redis"} 0.0' in (await service.client.get("/metrics")).text
    )
    server.cli("CONFIG", "SET", "maxmemory", server.info("memory")["used_memory"])
    refused = await service.post()
    assert refused.status_code == 503
    ready = await service.client.get("/readyz")
    assert (ready.status_code, ready.text) == (503, "broker full: new jobs are rejected\n")
    metrics = (await service.client.get("/metrics")).text
    assert 'hms_broker_refused_total{kind="redis"} 1.0' in metrics
    assert 'hms_broker_limit_bytes{kind="redis"}' in metrics
    server.cli("CONFIG", "SET", "maxmemory", "100mb")
    assert (await service.post()).status_code == 202
    assert (await service.client.get("/readyz")).text == "ready\n"


async def test_data_of_more_than_a_mebibyte_is_refused(service: ApiService) -> None:
    assert (await service.post({**JOB, "data": {"case_id": "x" * 2_000_000}})).status_code == 422
    assert await accepted(service) == 0


async def test_a_job_belongs_to_the_trace_of_its_request_where_that_is_one(
    service: ApiService,
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for given in (trace, trace.upper(), trace + "-x", "x" * 20_000):
        assert (await service.post(traceparent=given)).status_code == 202
    traces = [claimed.job.traceparent for claimed in await service.claim()]
    assert traces == [trace, None, None, None]


async def test_tracestate_goes_along_with_the_trace_of_a_request_or_of_a_job(
    service: ApiService,
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    own = {**JOB, "traceparent": trace.replace("4bf", "5bf"), "tracestate": "own=1"}
    headers = [("traceparent", trace), ("tracestate", "a=1"), ("tracestate", "b=2")]
    for job in (JOB, own):
        answer = await service.client.post("/jobs", json=job, headers=headers)
        assert answer.status_code == 202
    too_long = await service.post({**JOB, "tracestate": "x" * 513})
    assert (too_long.status_code, too_long.json()["errors"][0]["field"]) == (422, "tracestate")
    carried = [(each.job.traceparent, each.job.tracestate) for each in await service.claim()]
    assert carried == [(trace, "a=1,b=2"), (own["traceparent"], "own=1")]
