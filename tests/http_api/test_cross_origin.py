"""What a browser needs to let the page of a listed origin call, and what other pages get: nothing."""

from __future__ import annotations

import json

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from hms_svc.http_api import middleware
from hms_svc.operations.tokens import Scope
from tests.support.api import ApiService, ServiceMaker
from tests.support.http_wire import JOB, accepted, exchange, head, post, status_of

FRIEND = "https://friend.example"
EVIL = "https://evil.example"
ASKS = {
    "origin": FRIEND,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,idempotency-key",
}
"""A browser, before a page posts a job."""


@pytest.fixture
async def friendly(make_service: ServiceMaker) -> ApiService:
    return await make_service(http_origins=(FRIEND,))


def words(answer: httpx.Response, name: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers.get(name, "").split(",")}


def is_readable(answer: httpx.Response) -> bool:
    """Return whether a browser shows this answer to the page, and the headers that it needs."""
    assert "origin" in words(answer, "vary")
    assert "access-control-allow-credentials" not in answer.headers
    exposed = words(answer, "access-control-expose-headers")
    named = answer.headers.get("access-control-allow-origin") == FRIEND
    return named and exposed == {"location", "retry-after", "idempotency-replayed"}


async def test_a_preflight_is_answered_before_anybody_is_asked_who_it_is(
    friendly: ApiService,
) -> None:
    await friendly.token(Scope.PRODUCE)
    for path in ("/jobs", "/jobs/mine-1/events", "/events", "/metrics", "/healthz", "/envelopes"):
        answer = await friendly.client.options(path, headers=ASKS)
        assert (answer.status_code, answer.content) == (204, b""), path
        assert answer.headers["access-control-allow-origin"] == FRIEND
        assert words(answer, "access-control-allow-methods") >= {"get", "post"}
        assert words(answer, "access-control-allow-headers") >= {
            "authorization",
            "content-type",
            "idempotency-key",
            "if-match",
            "last-event-id",
            "traceparent",
        }
        assert int(answer.headers["access-control-max-age"]) > 0
        assert "origin" in words(answer, "vary")
    assert (await friendly.post(origin=FRIEND)).status_code == 401


async def test_a_preflight_through_a_proxy_and_of_http_1_0_is_answered(
    friendly: ApiService,
) -> None:
    lines = [f"{name}: {text}" for name, text in ASKS.items()]
    asks = head("/jobs", *lines, "X-Forwarded-For: 203.0.113.9", method="OPTIONS")
    assert status_of(await exchange(friendly, [asks])) == 204
    assert status_of(await exchange(friendly, [asks.replace(b"/1.1", b"/1.0", 1)])) == 204


async def test_attributes_of_cloud_events_may_be_sent_and_other_headers_not(
    friendly: ApiService,
) -> None:
    wanted = "Ce-Id, ce-type,x-evil,ce-/,cookie"
    headers = {**ASKS, "access-control-request-headers": wanted}
    answer = await friendly.client.options("/envelopes", headers=headers)
    allowed = words(answer, "access-control-allow-headers")
    assert {"ce-id", "ce-type"} <= allowed
    assert not {"x-evil", "cookie", "ce-/", "*"} & allowed


@pytest.mark.parametrize("origin", [EVIL, "null", FRIEND + ".evil", "http://friend.example", ""])
async def test_a_foreign_page_is_told_nothing(friendly: ApiService, origin: str) -> None:
    for answer in (
        await friendly.client.options("/jobs", headers={**ASKS, "origin": origin}),
        await friendly.client.get("/status", headers={"origin": origin}),
        await friendly.post(origin=origin),
    ):
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "origin" in words(answer, "vary")
    for path in ("/healthz", "/readyz"):
        for answer in (
            await friendly.client.get(path, headers={"origin": origin}),
            await friendly.client.options(path, headers={**ASKS, "origin": origin}),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control")]
    assert await accepted(friendly) == 0


async def test_options_that_are_no_preflight_are_no_method_of_ours(friendly: ApiService) -> None:
    assert (await friendly.client.options("/jobs")).status_code == 405
    assert (await friendly.client.options("/jobs", headers={"origin": FRIEND})).status_code == 405
    without = {name: text for name, text in ASKS.items() if name != "origin"}
    assert (await friendly.client.options("/jobs", headers=without)).status_code == 405


async def test_answers_and_errors_can_be_read_by_the_page(
    friendly: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = {"origin": FRIEND, "sec-fetch-site": "cross-site"}
    posted = await friendly.post(**asks, idempotency_key="k-1")
    assert (posted.status_code, is_readable(posted)) == (202, True)
    assert posted.headers["location"] == f"/jobs/{posted.json()['id']}"
    again = await friendly.post(**asks, idempotency_key="k-1")
    assert (again.headers["idempotency-replayed"], is_readable(again)) == ("true", True)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(friendly.api.reads, "why", broken)
    monkeypatch.setattr(middleware, "MOST_STREAMS", 0)
    gets = {
        "/healthz": 200,
        "/readyz": 200,
        "/status": 200,
        "/metrics": 200,
        "/openapi.json": 200,
        "/jobs/none": 404,
        "/nothing": 404,
        "/jobs?limit=0": 400,
        "/jobs?where=%00": 400,
        "/jobs/mine-1/why": 500,
        "/events": 503,
    }
    for path, status in gets.items():
        answer = await friendly.client.get(path, headers=asks)
        assert (answer.status_code, is_readable(answer)) == (status, True), path
    assert (await friendly.client.get("/events", headers=asks)).headers["retry-after"]
    unsaid = await friendly.client.post("/jobs", content=b"{}", headers=asks)
    assert (unsaid.status_code, is_readable(unsaid)) == (415, True)
    foreign_host = await friendly.client.get("/status", headers={**asks, "host": EVIL})
    assert (foreign_host.status_code, is_readable(foreign_host)) == (421, True)
    handed_on = await friendly.post(**asks, x_forwarded_for="203.0.113.9")
    assert (handed_on.status_code, is_readable(handed_on)) == (401, True)
    await friendly.token(Scope.PRODUCE)
    nobody = await friendly.post(**asks)
    assert (nobody.status_code, is_readable(nobody)) == (401, True)


async def test_streams_can_be_read_by_the_page(friendly: ApiService) -> None:
    job_id = (await friendly.post()).json()["id"]
    for path in ("/events", f"/jobs/{job_id}/events"):
        async with friendly.client.stream("GET", path, headers={"origin": FRIEND}) as stream:
            assert (stream.status_code, is_readable(stream)) == (200, True)
            assert await anext(stream.aiter_bytes())
    friendly.api.close()


async def test_a_page_posts_follows_and_reads_with_its_token(friendly: ApiService) -> None:
    bearer = await friendly.token(Scope.PRODUCE, Scope.VIEW)
    asks = {"origin": FRIEND, **bearer}
    preflight = await friendly.client.options("/jobs", headers=ASKS)
    assert preflight.status_code == 204
    posted = await friendly.post(**asks)
    place = posted.headers["location"]
    [job] = await friendly.claim()
    await friendly.settle(job)
    url = f"ws://127.0.0.1:{friendly.port}{place}/events"
    token = bearer["authorization"].removeprefix("Bearer ")
    offered = [Subprotocol("hms-svc"), Subprotocol(f"hms-bearer.{token}")]
    async with connect(url, origin=Origin(FRIEND), subprotocols=offered) as socket:
        kinds = [json.loads(message)["kind"] async for message in socket]
    assert kinds[-1] == "end"
    for origin, protocols, status in ((EVIL, offered, 403), (FRIEND, offered[:1], 401)):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, origin=Origin(origin), subprotocols=protocols):
                pass
        assert refused.value.response.status_code == status
        assert refused.value.response.headers["vary"] == "Origin"
    read = await friendly.client.get(place, headers=asks)
    assert (read.json()["state"], is_readable(read)) == ("completed", True)


async def test_caches_keep_answers_of_origins_apart(friendly: ApiService) -> None:
    for answer in (
        await friendly.client.get("/status"),
        await friendly.client.get("/healthz"),
        await friendly.client.get("/nothing"),
        await friendly.client.get("/status", headers={"host": "evil.example"}),
        await friendly.post(),
    ):
        assert "origin" in words(answer, "vary")
        assert "access-control-allow-origin" not in answer.headers
    for raw in (b"nonsense\r\n\r\n", head("/" + "x" * 40_000)):
        assert b"vary: Origin\r\n" in await exchange(friendly, [raw])


async def test_the_origin_is_written_back_as_it_came(make_service: ServiceMaker) -> None:
    service = await make_service(http_origins=("https://Friend.example:443", "http://[::1]:80"))
    for origin in (FRIEND, "http://[::1]"):
        answer = await service.client.get("/status", headers={"origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
    two = await exchange(service, [post(JOB, f"Origin: {FRIEND}", f"Origin: {FRIEND}")])
    assert status_of(two) == 400
    assert b"access-control" not in two.lower()
