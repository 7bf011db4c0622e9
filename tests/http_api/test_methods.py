"""Methods and forms of requests: what stands in Allow, HEAD, HTTP/1.0, targets that are whole addresses."""

from __future__ import annotations

import pytest

from hms_svc.domain.lifecycle import State
from tests.support.api import ApiService
from tests.support.http_wire import JOB, exchange, head, status_of

READ = {"get": "GET, HEAD", "post": "POST"}


def a_path(template: str) -> str:
    return template.replace("{job_id}", "d-1").replace("{case_id}", "c").replace("{type}", "x.y")


async def ended(service: ApiService) -> None:
    await service.post({"id": "d-1", "type": "crew.notify", "data": {"case_id": "c"}})
    for job in await service.claim():
        await service.settle(job, State.COMPLETED)


async def test_every_path_names_all_its_methods(service: ApiService) -> None:
    paths = service.described.document["paths"]
    for template, operations in paths.items():
        answer = await service.client.put(a_path(template))
        assert answer.status_code == 405, template
        # A word of ours may be the id of a job, too.
        also = ["get"] if template in {"/jobs/acts", "/jobs/undo"} else []
        expected = ", ".join(READ[each] for each in sorted([*operations, *also]))
        assert answer.headers["allow"] == expected, template
    assert (await service.client.put("/nothing")).status_code == 404
    for path, methods in {"/jobs/d-1/why": "GET, HEAD", "/openapi.json": "GET, HEAD"}.items():
        answer = await service.client.post(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)
        assert "POST" in answer.json()["detail"]


async def test_head_tells_what_get_would_without_its_body(service: ApiService) -> None:
    await ended(service)
    reads = [
        a_path(template)
        for template, operations in service.described.document["paths"].items()
        if "get" in operations and template != "/events"
    ]
    for path in [*reads, "/events?follow=false", "/openapi.json"]:
        full, bare = await service.client.get(path), await service.client.head(path)
        assert (bare.status_code, bare.content) == (full.status_code, b""), path
        changing = {"date"} | ({"content-length"} if path in {"/metrics", "/status"} else set())
        assert names(bare.headers, changing) == names(full.headers, changing), path
    refused = await service.client.head("/jobs/d-1/retry")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


async def test_head_is_answered_also_if_what_follows_it_is_no_request(service: ApiService) -> None:
    kept_open = head("/healthz", method="HEAD").replace(b"Connection: close\r\n", b"")
    assert status_of(await exchange(service, [kept_open + b"nonsense\r\n\r\n"])) == 200


def names(headers: object, changing: set[str]) -> dict[str, str]:
    # A body that is sent in pieces says so; one that is not sent cannot.
    left_out = changing | {"transfer-encoding"}
    return {name: value for name, value in dict(headers).items() if name not in left_out}  # type: ignore[call-overload]  # headers are pairs


async def test_head_of_a_stream_that_goes_on_ends_at_once(service: ApiService) -> None:
    await service.post({"id": "d-1", "type": "crew.notify", "data": {"case_id": "c"}})
    for path in ("/events", "/jobs/d-1/events"):
        answer = await service.client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("path", ["/jobs/d-1/events", "/events?follow=false", "/jobs/d-1"])
async def test_http_1_0_is_answered_without_chunks(service: ApiService, path: str) -> None:
    await ended(service)
    request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
    told, _, body = (await exchange(service, [request])).partition(b"\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in told.lower()
    assert b"connection: close" in told.lower()
    whole = await service.client.get(path)
    assert body == whole.content != b""


async def test_a_target_may_be_the_whole_address(service: ApiService) -> None:
    """Its host counts, not that of the header (RFC 9112, 3.2.2)."""
    length = (f"Content-Length: {len(JOB)}", "Content-Type: application/json")
    for target in ("http://localhost/jobs", f"HTTP://127.0.0.1:{service.port}/jobs"):
        for host in ("localhost", "evil.example"):
            answer = await exchange(service, [head(target, *length, host=host) + JOB])
            assert status_of(answer) == 202, (target, host, answer)
    asked = await exchange(service, [head("http://localhost?limit=1", method="GET")])
    assert (status_of(asked), b"there is no such path" in asked) == (404, True)
    read = await exchange(service, [head("http://localhost/jobs?limit=1", method="GET")])
    assert (status_of(read), read.count(b'"state"')) == (200, 1)
