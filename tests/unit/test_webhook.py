from __future__ import annotations

import base64
import hashlib
import hmac
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hms_svc.domain.errors import BadSetting, DeliveryFailed
from hms_svc.domain.signatures import sign, signing_key
from hms_svc.services.webhook import Webhook
from tests.support.local_http import LocalHttp, local_http

SECRET = "whsec_" + base64.b64encode(b"a secret of the crew").decode()
NOON = 1_767_225_600


@pytest.fixture
async def crew() -> AsyncIterator[LocalHttp]:
    async with local_http() as told:
        told.status = 204
        told.body = b""
        yield told


def to(url: str, *allowed: str, secret: str = SECRET, timeout: float = 30.0) -> Webhook:
    return Webhook(
        url,
        secret=secret,
        allowed_hosts=allowed,
        timeout_seconds=timeout,
        now=lambda: NOON + 0.9,
    )


async def test_a_delivery_is_signed_as_standard_webhooks_say(crew: LocalHttp) -> None:
    status = await to(crew.url + "/crew?shift=1", "127.0.0.1").deliver("job-1", b'{"a":1}')
    (sent,) = crew.received
    content = b'job-1.%d.{"a":1}' % NOON
    digest = hmac.new(b"a secret of the crew", content, hashlib.sha256).digest()
    assert status == 204
    assert (sent.method, sent.path, sent.body) == ("POST", "/crew?shift=1", b'{"a":1}')
    assert sent.headers["webhook-id"] == "job-1"
    assert re.fullmatch(r"hms-svc/\d+\.\d+\S*", sent.headers["user-agent"])
    assert sent.headers["webhook-timestamp"] == str(NOON)
    assert sent.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_the_signature_agrees_with_the_published_example() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    assert (
        sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


async def test_a_host_allowed_by_name_is_pinned_and_keeps_its_name(crew: LocalHttp) -> None:
    await to(f"http://localhost:{crew.port}/", "LocalHost").deliver("job-1", b"{}")
    (sent,) = crew.received
    assert sent.headers["host"] == f"localhost:{crew.port}"


async def test_the_name_is_looked_up_once_and_the_connection_goes_to_its_address(
    crew: LocalHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = []
    real = socket.getaddrinfo

    def watched(host: str, *args: Any, **kwargs: Any) -> Any:
        looked_up.append(host)
        return real("127.0.0.1" if host == "crew.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    await to(f"http://crew.example:{crew.port}/", "crew.example").deliver("job-1", b"{}")
    assert looked_up.count("crew.example") == 1
    assert set(looked_up) <= {"crew.example", "127.0.0.1"}
    assert crew.received[0].headers["host"] == f"crew.example:{crew.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433"])
async def test_an_inner_address_is_refused_before_anything_is_sent(
    crew: LocalHttp, host: str
) -> None:
    with pytest.raises(DeliveryFailed, match="not a public address"):
        await to(f"http://{host}:{crew.port}/", "other.example").deliver("job-1", b"{}")
    assert crew.received == []


@pytest.mark.parametrize("status", [300, 304, 400, 404, 429, 500, 503])
async def test_anything_but_2xx_is_a_failure(crew: LocalHttp, status: int) -> None:
    crew.status = status
    with pytest.raises(DeliveryFailed, match=f"answered {status}, not 2xx"):
        await to(crew.url, "127.0.0.1").deliver("job-1", b"{}")


async def test_a_redirect_is_not_followed(crew: LocalHttp) -> None:
    crew.status, crew.headers = 302, {"location": crew.url + "/inner"}
    with pytest.raises(DeliveryFailed, match="answered 302"):
        await to(crew.url, "127.0.0.1").deliver("job-1", b"{}")
    assert len(crew.received) == 1


async def test_a_silent_receiver_is_a_failure(crew: LocalHttp) -> None:
    crew.silent = True
    with pytest.raises(DeliveryFailed, match=r"did not answer within 0\.05 s"):
        await to(crew.url, "127.0.0.1", timeout=0.05).deliver("job-1", b"{}")


async def test_an_unreachable_receiver_is_a_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(DeliveryFailed, match="cannot be reached"):
            await to(f"http://127.0.0.1:{port}", "127.0.0.1").deliver("job-1", b"{}")


async def test_a_name_that_cannot_be_resolved_is_a_failure() -> None:
    with pytest.raises(DeliveryFailed, match="cannot be resolved"):
        await to(f"http://{'x' * 64}.example").deliver("job-1", b"{}")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://crew.example/",
        "crew.example",
        "http://",
        "http://user@crew.example/",
        "http://user:hunter2@crew.example/",
        "http://crew.example:99999/",
        "http://crew.example:0/",
    ],
)
def test_an_address_that_cannot_be_used_is_named_without_its_secrets(url: str) -> None:
    with pytest.raises(BadSetting, match="webhook_url") as caught:
        to(url).check()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%"])
def test_a_secret_that_cannot_sign_is_refused(secret: str) -> None:
    with pytest.raises(BadSetting, match="webhook_secret"):
        to("https://crew.example/", secret=secret).check()


def test_a_plain_secret_is_its_own_bytes() -> None:
    assert signing_key("straße") == "straße".encode()


def test_without_an_address_nothing_is_checked() -> None:
    unset = Webhook("", secret="")
    unset.check()
    assert not unset.configured
