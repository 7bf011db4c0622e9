"""Behind a proxy: nobody is local there, and only a proxy that is named is believed."""

from __future__ import annotations

import json
import socket as sockets
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from hms_svc.domain.errors import BadSetting
from hms_svc.http_api.exposure import check_exposure
from hms_svc.http_api.listen_socket import listen
from hms_svc.http_api.proxies import Proxies
from hms_svc.operations.tokens import Scope
from hms_svc.settings import load_settings
from tests.support.api import ApiService, ServiceMaker
from tests.support.http_wire import JOB, accepted, exchange, head, post, status_of

CITY = "city.example"
SIGNS = {
    "Forwarded": "for=203.0.113.9;proto=https",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": CITY,
    "X-Forwarded-Anything": "",
    "X-Real-IP": "203.0.113.9",
    "Via": "1.1 squid",
}
BEHIND_TLS = {"host": CITY, "x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9"}


def told(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
async def test_without_a_token_nothing_comes_in_through_a_proxy(
    service: ApiService, sign: str, version: str
) -> None:
    line = f"{sign}: {SIGNS[sign]}"
    raw = post(JOB, line).replace(b"HTTP/1.1", version.encode(), 1)
    answer = await exchange(service, [raw])
    assert status_of(answer) == 401
    assert sign.lower() in told(answer)["detail"]
    assert "tokens create" in told(answer)["detail"]
    assert b"www-authenticate: Bearer" in answer
    for target in ("/metrics", "/openapi.json", "/status", "/events", "/nothing"):
        assert status_of(await exchange(service, [head(target, line, method="GET")])) == 401
    assert await accepted(service) == 0
    await service.token(Scope.PRODUCE)
    answer = await exchange(service, [post(JOB, line)])
    assert told(answer)["detail"].startswith("a bearer token is required")


async def test_without_a_token_no_socket_and_no_console_come_in_through_a_proxy(
    make_service: ServiceMaker,
) -> None:
    service = await make_service(web=True)
    through = {"x-forwarded-for": "203.0.113.9"}
    await service.post({"type": "crew.notify", "id": "mine-1", "data": {"case_id": "case-1"}})
    for path in ("/jobs/mine-1/events", "/console/socket"):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://127.0.0.1:{service.port}{path}", additional_headers=through):
                pass
        assert refused.value.response.status_code == 401
    page = await service.client.get("/console", headers=through)
    assert (page.status_code, "tokens create" in page.json()["detail"]) == (401, True)
    assert (await service.client.get("/console")).status_code == 200


async def test_without_a_token_nothing_comes_in_through_nginx_as_it_is(service: ApiService) -> None:
    length = f"Content-Length: {len(JOB)}"
    lines = ["POST /jobs HTTP/1.0", f"Host: 127.0.0.1:{service.port}", "Connection: close", length]
    by_nginx = "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode() + JOB
    answer = await exchange(service, [by_nginx])
    assert (status_of(answer), await accepted(service)) == (401, 0)
    assert "HTTP/1.0 with Connection: close" in told(answer)["detail"]
    otherwise = by_nginx.replace(b"Connection: close", b"Connection: TE, Close")
    assert status_of(await exchange(service, [otherwise])) == 401
    by_hand = by_nginx.replace(b"Connection: close\r\n", b"")
    assert status_of(await exchange(service, [by_hand])) == 202


async def test_probes_are_answered_through_any_proxy(service: ApiService) -> None:
    for path in ("/healthz", "/readyz"):
        lines = [f"{name}: {text}" for name, text in SIGNS.items()]
        for raw in (head(path, *lines, method="GET", host="lb"), head(path, *lines, method="HEAD")):
            assert status_of(await exchange(service, [raw])) == 200
            assert status_of(await exchange(service, [raw.replace(b"/1.1", b"/1.0", 1)])) == 200


async def test_a_proxy_that_is_not_named_is_not_believed(make_service: ServiceMaker) -> None:
    service = await make_service(http_hosts=(CITY,), http_proxies=("10.0.0.0/8",))
    bearer = await service.token(Scope.PRODUCE)
    through = {**bearer, **BEHIND_TLS, "x-forwarded-prefix": "/hms"}
    posted = await service.post(**through)
    assert posted.headers["location"] == f"/jobs/{posted.json()['id']}"
    assert (await service.post(**through, origin=f"https://{CITY}")).status_code == 403
    forged = {**bearer, "host": "evil.example", "x-forwarded-host": CITY}
    assert (await service.post(**forged)).status_code == 421


@pytest.mark.parametrize(
    "through",
    [
        BEHIND_TLS,
        {"host": "127.0.0.1:8710", "x-forwarded-host": CITY, "x-forwarded-proto": "https"},
        {"host": "localhost", "forwarded": f'for="[2001:db8::1]:4711";host="{CITY}";proto=https'},
        {"host": f"{CITY}:443", "x-forwarded-proto": "HTTPS", "forwarded": "proto=http;host=evil"},
    ],
)
async def test_what_a_named_proxy_says_is_believed(
    make_service: ServiceMaker, through: dict[str, str]
) -> None:
    service = await make_service(http_hosts=(CITY,), http_proxies=("127.0.0.0/8",))
    through = {**through, **await service.token(Scope.PRODUCE), "x-forwarded-prefix": "/hms/"}
    posted = await service.post(**through, origin=f"https://{CITY}")
    assert posted.status_code == 202, posted.text
    assert posted.headers["location"] == f"/hms/jobs/{posted.json()['id']}"
    described = await service.client.get("/openapi.json", headers=through)
    assert described.json()["servers"] == [{"url": "/hms"}]
    assert (await service.post(**through, origin=f"http://{CITY}")).status_code == 403
    assert (await service.post(**through, origin="https://evil.example")).status_code == 403


async def test_a_named_proxy_does_not_make_anybody_local_nor_open_other_hosts(
    make_service: ServiceMaker,
) -> None:
    service = await make_service(http_hosts=(CITY,), http_proxies=("127.0.0.1",))
    assert (await service.post(**BEHIND_TLS)).status_code == 401
    bearer = await service.token(Scope.PRODUCE)
    for wrong, status in (
        ({"x-forwarded-host": "evil.example"}, 421),
        ({"x-forwarded-proto": "gopher"}, 400),
        ({"x-forwarded-prefix": "//evil.example"}, 400),
        ({"x-forwarded-prefix": "/a/../b"}, 400),
        ({"x-forwarded-prefix": '/"onload='}, 400),
        ({"x-forwarded-for": "1" * 2_001}, 400),
    ):
        refused = await service.post(**bearer, **wrong)
        assert refused.status_code == status, wrong
        assert refused.headers["content-type"] == "application/problem+json"
    assert await accepted(service) == 0


async def test_the_console_is_right_behind_tls_and_under_a_path(make_service: ServiceMaker) -> None:
    service = await make_service(web=True, http_hosts=(CITY,), http_proxies=("127.0.0.1",))
    token = (await service.token(Scope.VIEW))["authorization"].removeprefix("Bearer ")
    through = {**BEHIND_TLS, "x-forwarded-prefix": "/hms"}
    form = await service.client.get("/console", headers=through)
    assert 'action="/hms/console"' in form.text
    signing = {**through, "origin": f"https://{CITY}"}
    signed = await service.client.post("/console", data={"token": token}, headers=signing)
    assert (signed.status_code, signed.headers["location"]) == (303, "/hms/console")
    cookie = signed.headers["set-cookie"].lower()
    assert "path=/hms/console;" in cookie
    assert "secure" in cookie
    with_cookie = {**through, "cookie": f"hms-console={token}"}
    page = (await service.client.get("/console", headers=with_cookie)).text
    assert 'data-socket-path="/hms/console/socket"' in page
    assert "{" + "prefix}" not in page
    assert '"/console' not in page
    url = f"ws://127.0.0.1:{service.port}/console/socket"
    seen = {**with_cookie, "origin": f"https://{CITY}", "x-forwarded-host": CITY}
    del seen["host"]  # The client of the socket writes its own.
    async with connect(url, additional_headers=seen) as socket:
        assert await socket.recv()


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("10.0.0.1", {"x-forwarded-for": "203.0.113.9"}, "203.0.113.9"),
        ("::ffff:10.0.0.1", {"x-forwarded-for": "203.0.113.9:4711"}, "203.0.113.9"),
        ("10.0.0.1", {"x-forwarded-for": "6.6.6.6, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"),
        ("10.0.0.1", {"x-forwarded-for": "10.0.0.3, 10.0.0.2"}, "10.0.0.3"),
        ("10.0.0.1", {"x-real-ip": "2001:db8::1"}, "2001:db8::1"),
        ("10.0.0.1", {"forwarded": 'For="[2001:db8::1]:80";by="a,b", for=10.0.0.2'}, "2001:db8::1"),
        ("10.0.0.1", {"forwarded": "for=6.6.6.6, for=_hidden"}, None),
        ("10.0.0.1", {"forwarded": '"' * 2_000}, None),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("203.0.113.1", {"x-forwarded-for": "127.0.0.1"}, "203.0.113.1"),
    ],
)
def test_the_client_is_the_last_that_no_named_proxy_is(
    peer: str, headers: dict[str, str], client: str | None
) -> None:
    raw = [(name.encode(), text.encode()) for name, text in headers.items()]
    scope = {"type": "http", "scheme": "http", "client": (peer, 1), "headers": raw}
    found = Proxies(["10.0.0.0/8"]).wake(scope)["client"]
    assert (found and found[0]) == client


def test_of_two_hops_one_is_believed_in_all_it_says() -> None:
    raw = [
        (b"x-forwarded-for", b"203.0.113.9, 10.0.0.2"),
        (b"x-forwarded-proto", b"https, http"),
        (b"x-forwarded-host", b"city.example, inner"),
        (b"host", b"inner"),
    ]
    scope = {"type": "websocket", "scheme": "ws", "client": ("10.0.0.1", 1), "headers": raw}
    found = Proxies(["10.0.0.0/8"]).wake(scope)
    assert found["scheme"] == "wss"
    assert [text for name, text in found["headers"] if name == b"host"] == [b"city.example"]


async def test_proxies_are_named_once_there_is_a_token(make_service: ServiceMaker) -> None:
    service = await make_service(http_proxies=("127.0.0.1/32",))
    here: sockets.socket = listen("127.0.0.1:0")
    with here:
        with pytest.raises(
            BadSetting, match=r"http_proxies is 127\.0\.0\.1/32, but there is no token"
        ):
            await check_exposure(service.api.settings, here, service.api.authentication.is_open)
        await service.token(Scope.PRODUCE)
        await check_exposure(service.api.settings, here, service.api.authentication.is_open)


def test_proxies_are_addresses_and_networks() -> None:
    def read(text: str) -> tuple[str, ...]:
        return load_settings(
            {"http_proxies": text}, environ={"HMS_SVC_CONFIG": ""}
        ).settings.http_proxies

    assert read("127.0.0.1, ::1,10.0.0.0/8") == ("127.0.0.1/32", "::1/128", "10.0.0.0/8")
    for wrong in ("localhost", "10.0.0.1/8", "*", "10.0.0.0/33"):
        with pytest.raises(BadSetting, match="IP addresses or networks, such as"):
            read(wrong)
