"""What names another host, comes from another origin or is not JSON gets nowhere."""

from __future__ import annotations

import json
import logging
from typing import NoReturn

import pytest

from hms_svc.http_api.middleware import RequestGuard
from hms_svc.operations.tokens import Scope
from tests.support.api import ApiService, ServiceMaker
from tests.support.http_wire import JOB, accepted, exchange, head, status_of

JSON_TYPE = "Content-Type: application/json"
LENGTH = f"Content-Length: {len(JOB)}"
OURS = (JSON_TYPE, LENGTH)
SOCKET = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def lines(first: str, *headers: str) -> bytes:
    return "\r\n".join([first, "Connection: close", *headers, "", ""]).encode("latin-1")


def named(*hosts: str, target: str = "/jobs") -> bytes:
    return lines(f"POST {target} HTTP/1.1", *(f"Host: {host}" for host in hosts), *OURS) + JOB


def from_origin(*origins: str) -> bytes:
    return head("/jobs", *OURS, *(f"Origin: {origin}" for origin in origins)) + JOB


def typed(*headers: str) -> bytes:
    return head("/jobs", LENGTH, *headers) + JOB


def socket(host: str = "localhost", *headers: str, target: str = "/jobs/mine-1/events") -> bytes:
    # Not `lines`: its Connection header would stand in the way of the upgrade.
    told = [f"GET {target} HTTP/1.1", f"Host: {host}", *SOCKET, *headers, "", ""]
    return "\r\n".join(told).encode("latin-1")


ATTACKS: dict[str, tuple[bytes, int]] = {
    "no host": (named(), 421),
    "two hosts": (named("localhost", "evil.example"), 400),
    "the same host twice": (named("localhost", "localhost"), 400),
    "a host of two names": (named("localhost, evil.example"), 421),
    "a foreign host": (named("evil.example"), 421),
    "a host that begins as ours": (named("localhost.evil.example"), 421),
    "a host that ends as ours": (named("evil-localhost"), 421),
    "a user in the host": (named("localhost@evil.example"), 421),
    "our host as the user": (named("evil.example:80@localhost"), 421),
    "a port that is none": (named("localhost:80:80"), 421),
    "a port too long": (named("localhost:000080"), 421),
    "an empty port": (named("localhost:"), 421),
    "a port of other digits": (named("localhost:\xb2"), 421),
    "a foreign IPv6 address": (named("[::2]"), 421),
    "an IPv6 address without brackets": (named("::1"), 421),
    "an IPv4 address within IPv6": (named("[::ffff:127.0.0.1]"), 421),
    "a trailing dot": (named("localhost."), 421),
    "another way to write our address": (named("127.1"), 421),
    "a tab within the host": (named("local\thost"), 421),
    "a forwarded host": (
        lines("POST /jobs HTTP/1.1", "Host: evil.example", "X-Forwarded-Host: localhost", *OURS)
        + JOB,
        421,
    ),
    "a foreign absolute target": (named("localhost", target="http://evil.example/jobs"), 421),
    "an absolute target of another scheme": (
        named("localhost", target="https://localhost/jobs"),
        400,
    ),
    "an absolute target with a user": (named("localhost", target="http://a@localhost/jobs"), 400),
    "an absolute target without a host": (named("localhost", target="http:///jobs"), 400),
    "an absolute target and two hosts": (
        named("localhost", "localhost", target="http://localhost/jobs"),
        400,
    ),
    "an absolute target and no host": (named(target="http://localhost/jobs"), 421),
    "a target that is no path": (named("localhost", target="jobs"), 400),
    "a target that is not ASCII": (named("localhost", target="/jobs/\xff"), 400),
    "a host after a folded line": (named("localhost\r\n evil.example"), 421),
    "NUL in a path": (head("/jobs/a%00b", method="GET"), 400),
    "NUL in a query": (head("/cases?kind=%00", method="GET"), 400),
    "NUL in the path of a socket": (socket(target="/jobs/%00/events"), 400),
    "origin null": (from_origin("null"), 403),
    "an empty origin": (from_origin(""), 403),
    "a foreign origin": (from_origin("http://evil.example"), 403),
    "an origin that begins as ours": (from_origin("http://localhost.evil.example"), 403),
    "an origin that ends as ours": (from_origin("http://evil-localhost"), 403),
    "an origin with our host as its user": (from_origin("http://localhost@evil.example"), 403),
    "an origin of another scheme": (from_origin("https://localhost"), 403),
    "an origin of another port": (from_origin("http://localhost:81"), 403),
    "an origin with a path": (from_origin("http://localhost/"), 403),
    "an origin that is friendly otherwise": (from_origin("https://friend.example.evil"), 403),
    "two origins": (from_origin("http://localhost", "http://evil.example"), 400),
    "two origins in one": (from_origin("http://localhost http://evil.example"), 403),
    "a page of another site": (head("/jobs", *OURS, "Sec-Fetch-Site: cross-site") + JOB, 403),
    "a socket of a foreign page": (socket("localhost", "Origin: http://evil.example"), 403),
    "a socket of a page that has none": (socket("localhost", "Origin: null"), 403),
    "a socket of a page of another port": (socket("localhost", "Origin: http://localhost:1"), 403),
    "a socket to a foreign host": (socket("evil.example"), 421),
    "a socket to two hosts": (socket("localhost", "Host: evil.example"), 400),
    "a socket to a target that is not ASCII": (socket(target="/jobs/\xff/events"), 400),
    "a socket by POST": (socket().replace(b"GET", b"POST", 1), 400),
    "a socket with a body that never comes": (socket("localhost", "Content-Length: 9"), 400),
    "a socket to a job that is not there": (socket(), 404),
    "no content type": (typed(), 415),
    "plain text": (typed("Content-Type: text/plain"), 415),
    "plain text that says JSON": (typed("Content-Type: text/plain; application/json"), 415),
    "a form": (typed("Content-Type: application/x-www-form-urlencoded"), 415),
    "a form with parts": (typed("Content-Type: multipart/form-data; boundary=x"), 415),
    "a type that begins as ours": (typed("Content-Type: application/jsonp"), 415),
    "two types in one": (typed("Content-Type: application/json, text/plain"), 415),
    "two types": (typed(JSON_TYPE, "Content-Type: text/plain"), 400),
    "UTF-16": (typed(JSON_TYPE + "; charset=utf-16"), 415),
    "UTF-7": (typed(JSON_TYPE + ';x=y; charset = "utf-7"'), 415),
    "two charsets": (typed(JSON_TYPE + "; charset=utf-8; charset=utf-7"), 415),
    "gzip": (typed(JSON_TYPE, "Content-Encoding: gzip"), 415),
    "identity and gzip": (typed(JSON_TYPE, "Content-Encoding: identity, gzip"), 415),
    "encodings twice": (
        typed(JSON_TYPE, "Content-Encoding: identity", "Content-Encoding: gzip"),
        400,
    ),
    "a form to an act without a body": (
        head("/queues/crew.notify/resume", "Content-Type: text/plain", "Content-Length: 0"),
        415,
    ),
}
BY_THE_PARSER = {"a host after a folded line", "a target that is no path", "a tab within the host"}
"""Which of two checks refuses such a request is the parser's affair."""


async def test_no_attack_on_host_origin_or_content_type_gets_in(
    make_service: ServiceMaker, caplog: pytest.LogCaptureFixture
) -> None:
    service = await make_service(http_origins=("https://friend.example",))
    assert len(ATTACKS) >= 24
    with caplog.at_level(logging.ERROR):
        answers = {name: await exchange(service, [raw]) for name, (raw, _) in ATTACKS.items()}
    seen = {name: status_of(answer) for name, answer in answers.items()}
    wanted = {name: status for name, (_, status) in ATTACKS.items()}
    for name in BY_THE_PARSER:
        assert seen.pop(name) in {400, wanted.pop(name)}, name
    assert seen == wanted
    assert caplog.records == []
    assert await accepted(service) == 0
    for name, answer in answers.items():
        told, _, body = answer.partition(b"\r\n\r\n")
        assert b"application/problem+json" in told, name
        assert json.loads(body)["status"] == status_of(answer)


OURS_IN_ALL_WAYS = [
    head("/jobs", *OURS, host="127.0.0.1:8710"),
    head("/jobs", *OURS, host="LOCALHOST"),
    head("/jobs", *OURS, "Origin: http://localhost", "Sec-Fetch-Site: same-origin"),
    head("/jobs", *OURS, "Origin: http://[::1]:8710", host="[::1]:8710"),
    head("/jobs", *OURS, "Origin: https://friend.example", "Sec-Fetch-Site: cross-site"),
    head("/jobs", LENGTH, "Content-Type: Application/JSON ; charset=UTF-8", host="city.example"),
    head("/jobs", *OURS, "Content-Encoding: Identity"),
]


async def test_what_is_ours_gets_in(make_service: ServiceMaker) -> None:
    service = await make_service(
        http_origins=("https://Friend.example:443",), http_hosts=("city.example:443",)
    )
    for raw in OURS_IN_ALL_WAYS:
        assert status_of(await exchange(service, [raw + JOB])) == 202, raw
    assert await accepted(service) == len(OURS_IN_ALL_WAYS)


async def test_a_load_balancer_needs_no_host_and_gets_one_word(service: ApiService) -> None:
    for path in ("/healthz", "/readyz"):
        for host in ((), ("Host: 10.0.0.9",)):
            answer = await exchange(service, [lines(f"GET {path} HTTP/1.1", *host)])
            assert status_of(answer) == 200
            assert len(answer.partition(b"\r\n\r\n")[2].split()) == 1
    for path in ("/metrics", "/openapi.json", "/healthz/x", "//healthz"):
        assert status_of(await exchange(service, [lines(f"GET {path} HTTP/1.1")])) == 421


@pytest.mark.parametrize("host", ["10.0.0.9:8710", "[fd00::9]:8710", "192.0.2.1"])
async def test_metrics_are_scraped_at_the_address_of_a_pod_with_a_token(
    service: ApiService, host: str
) -> None:
    async def ask(path: str, *headers: str, named: str = host) -> int:
        raw = lines(f"GET {path} HTTP/1.1", f"Host: {named}", *headers)
        return status_of(await exchange(service, [raw]))

    assert await ask("/metrics") == 421, "nobody needs a token: a page could ask from here"
    bearer = (await service.token(Scope.METRICS))["authorization"]
    scraper = f"Authorization: {bearer}"
    assert await ask("/metrics", scraper) == 200
    assert await ask("/metrics") == 401
    assert await ask("/metrics", scraper, "Origin: http://evil.example") == 403
    assert await ask("/queues", scraper) == 421
    for stranger in (
        "evil.example",
        "10.0.0.9.evil.example",
        "10.0.0",
        "[10.0.0.9]x",
        "0x0a.0.0.9",
    ):
        assert await ask("/metrics", scraper, named=stranger) == 421


async def test_other_methods_do_nothing_and_echo_nothing(service: ApiService) -> None:
    for method in ("OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "PROPFIND"):
        answer = await exchange(service, [head("/jobs", "X-Echo: secret-word", method=method)])
        assert status_of(answer) == 405
        assert b"secret-word" not in answer
        assert b"access-control" not in answer.lower()


async def test_nothing_of_a_request_becomes_a_header_or_a_line_of_the_log(
    service: ApiService, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = "/jobs/a%0d%0aset-cookie:%20x=1%0d%0a%0d%0a"
    answer = await exchange(service, [head(forged, method="GET")])
    assert status_of(answer) == 404
    assert b"set-cookie" not in answer.partition(b"\r\n\r\n")[0]

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(service.api.reads, "detail", broken)
    with caplog.at_level(logging.ERROR, "hms_svc.http"):
        answer = await exchange(service, [head(forged, method="GET")])
    assert status_of(answer) == 500
    assert (
        json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "urn:hms-svc:problem:internal-error"
    )
    [record] = [each for each in caplog.records if each.name == "hms_svc.http"]
    assert "\n" not in record.getMessage()
    assert "set-cookie" in record.getMessage()


async def test_followers_leave_room_for_everybody_else(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hms_svc.http_api.middleware.MOST_STREAMS", 1)
    async with service.client.stream("GET", "/events") as first:
        assert first.status_code == 200
        refused = await service.client.get("/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert status_of(await exchange(service, [socket()])) == 503
        assert (await service.post()).status_code == 202
    service.api.close()


def test_a_host_that_cannot_be_read_is_never_ours() -> None:
    async def nothing(*_: object) -> NoReturn:
        raise AssertionError

    assert (
        RequestGuard(nothing, hosts=["::1", "no host", ""], guard=nothing, is_open=nothing)._hosts
        == frozenset()
    )
