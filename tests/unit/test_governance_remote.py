from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator

import pytest

from hms_svc.domain.errors import BadSetting, PolicyUnavailable
from hms_svc.domain.verdict import Effect, Verdict
from hms_svc.governance.remote import MAX_ANSWER_BYTES, RemotePolicy
from hms_svc.ports.policy import Question
from tests.support.local_http import LocalHttp, local_http

QUESTION = Question(
    action="create_case",
    payload={"lat": 1.5},
    job_id="j1",
    job_type="pothole.report",
    attempt=2,
)


@pytest.fixture
async def service() -> AsyncIterator[LocalHttp]:
    async with local_http() as told:
        told.body = b'{"effect": "hold", "rule": "r7", "reason": "ask the mayor", "extra": 1}'
        yield told


@pytest.fixture
async def policy(service: LocalHttp) -> AsyncIterator[RemotePolicy]:
    asked = RemotePolicy(service.url + "/decide", timeout_seconds=30)
    yield asked
    await asked.close()


async def test_the_verdict_of_the_service_is_given(policy: RemotePolicy) -> None:
    assert await policy.decide(QUESTION) == Verdict(Effect.HOLD, "r7", "ask the mayor")


async def test_the_service_is_sent_action_payload_and_job(
    service: LocalHttp, policy: RemotePolicy
) -> None:
    await policy.decide(QUESTION)
    (sent,) = service.received
    assert (sent.method, sent.path) == ("POST", "/decide")
    assert sent.headers["content-type"] == "application/json"
    assert json.loads(sent.body) == {
        "action": "create_case",
        "payload": {"lat": 1.5},
        "job": {"id": "j1", "type": "pothole.report", "attempt": 2},
    }


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (500, b'{"effect": "allow", "rule": "r"}', "status 500 instead of 200"),
        (204, b"", "status 204 instead of 200"),
        (404, b"", "status 404 instead of 200"),
        (200, b"", "not a verdict"),
        (200, b"yes", "not a verdict"),
        (200, b'"allow"', "not a verdict"),
        (200, b"\xff\xfe", "not a verdict"),
        (200, b'{"effect": "allow"}', "not a verdict"),
        (200, b'{"effect": "maybe", "rule": "r"}', "not a verdict"),
        (200, b'{"effect": true, "rule": "r"}', "not a verdict"),
        (200, b" " * (MAX_ANSWER_BYTES + 1), "the answer has more than"),
    ],
)
async def test_no_proper_verdict_is_never_a_yes(
    service: LocalHttp, policy: RemotePolicy, status: int, body: bytes, fault: str
) -> None:
    service.status, service.body = status, body
    with pytest.raises(PolicyUnavailable, match=fault):
        await policy.decide(QUESTION)


async def test_a_redirect_is_not_followed(service: LocalHttp, policy: RemotePolicy) -> None:
    service.status, service.headers = 307, {"location": service.url + "/elsewhere"}
    with pytest.raises(PolicyUnavailable, match="status 307"):
        await policy.decide(QUESTION)
    assert len(service.received) == 1


async def test_a_silent_service_is_an_outage(service: LocalHttp) -> None:
    service.silent = True
    policy = RemotePolicy(service.url, timeout_seconds=0.05)
    with pytest.raises(PolicyUnavailable, match=r"no verdict within 0\.05 s"):
        await policy.decide(QUESTION)
    await policy.close()


async def test_an_unreachable_service_is_an_outage() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        policy = RemotePolicy(f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(PolicyUnavailable, match="ConnectError"):
            await policy.decide(QUESTION)
        await policy.close()


@pytest.mark.parametrize("url", ["", "policy.example", "ftp://policy.example", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadSetting, match="policy_url"):
        RemotePolicy(url)
