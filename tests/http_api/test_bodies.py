"""Hostile bodies and heads, over raw sockets: refused, and nothing of them stays behind."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from hms_svc.http_api import protocol, request_body, slow_clients
from hms_svc.http_api.request_body import MOST_BODY_BYTES
from tests.support.api import ApiService
from tests.support.http_wire import JOB, accepted, exchange, head, post, status_of
from tests.support.waiting import PATIENCE_SECONDS, until

JSON_TYPE = "Content-Type: application/json"
CHUNKED = (JSON_TYPE, "Transfer-Encoding: chunked")
KIBIBYTES_64 = b" " * 65_536


def declared(length: object, body: bytes, *headers: str) -> list[bytes]:
    return [head("/jobs", JSON_TYPE, f"Content-Length: {length}", *headers) + body]


def chunked(*chunks: bytes, headers: tuple[str, ...] = ()) -> list[bytes]:
    return [head("/jobs", *CHUNKED, *headers) + b"".join(chunks)]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def data(text: str) -> list[bytes]:
    return [post(f'{{"type":"crew.notify","data":{{"case_id":"x","n":{text}}}}}'.encode())]


def endless(first: bytes, piece: bytes, times: int) -> Iterator[bytes]:
    yield first
    for _ in range(times):
        yield piece


LAST = b"0\r\n\r\n"
BOMB = gzip.compress(b'{"type":"crew.notify","data":"' + b"0" * 50_000_000 + b'"}')
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
ATTACKS: dict[str, Any] = {
    # Lengths that lie.
    "a length too short": (declared(len(JOB) - 1, JOB), {400}),
    "a length too long": (declared(len(JOB) + 1, JOB), {408}),
    "gone before the end of a length": (declared(len(JOB) + 1, JOB), {0}),
    "a negative length": (declared(-1, JOB), {400}),
    "a length with a sign": (declared(f"+{len(JOB)}", JOB), {400}),
    "a length in hexadecimal": (declared(hex(len(JOB)), JOB), {400}),
    "two lengths": (declared(len(JOB), JOB, "Content-Length: 3"), {400}),
    "the same length twice": (declared(len(JOB), JOB, f"Content-Length: {len(JOB)}"), {400}),
    "two lengths in one": (declared(f"{len(JOB)}, {len(JOB)}", JOB), {400}),
    "a length beyond 64 bits": (declared(2**64 + len(JOB), JOB), {400}),
    "a huge length": (declared(10**18, JOB), {413}),
    "a length and chunks": (chunked(chunk(JOB), LAST, headers=("Content-Length: 3",)), {400}),
    # Chunks.
    "a chunk of no number": (chunked(b"zz\r\n" + JOB), {400}),
    "a negative chunk": (chunked(b"-1\r\n" + JOB), {400}),
    "a chunk beyond 64 bits": (chunked(b"f" * 17 + b"\r\n" + JOB), {400}),
    "a chunk in 0x": (chunked(b"0x%x\r\n%b\r\n" % (len(JOB), JOB), LAST), {400}),
    "a chunk longer than it says": (chunked(b"2\r\n" + JOB + b"\r\n" + LAST), {400}),
    "chunks that never end": (chunked(chunk(JOB)), {408}),
    "a chunk without its line end": (chunked(b"%x\r\n%b0\r\n\r\n" % (len(JOB), JOB)), {400}),
    "a line end without its return": (chunked(b"%x\n%b\n0\n\n" % (len(JOB), JOB)), {400}),
    "chunked, but not at last": (
        [head("/jobs", JSON_TYPE, "Transfer-Encoding: chunked, gzip") + chunk(JOB) + LAST],
        {400},
    ),
    "another encoding": (
        [head("/jobs", JSON_TYPE, "Transfer-Encoding: xchunked") + chunk(JOB) + LAST],
        {400},
    ),
    "two encodings": (
        [head("/jobs", *CHUNKED, "Transfer-Encoding: identity") + chunk(JOB) + LAST],
        {400},
    ),
    "a flood of chunk extensions": (
        endless(head("/jobs", *CHUNKED) + b"1;", b"x=y;" * 16_384, 40),
        {0, 431},
    ),
    "a flood of chunks of one byte": (
        endless(head("/jobs", *CHUNKED), b"1\r\n \r\n" * 10_000, 40),
        {0, 431},
    ),
    "a flood of trailers": (
        endless(head("/jobs", *CHUNKED) + chunk(JOB) + b"0\r\n", b"x: y\r\n" * 10_000, 40),
        {0, 431},
    ),
    "a trailer that never ends": (
        endless(head("/jobs", *CHUNKED) + chunk(JOB) + b"0\r\nx: ", b"y" * 65_536, 40),
        {0, 431},
    ),
    "a content type in a trailer": (
        [
            head("/jobs", "Transfer-Encoding: chunked")
            + chunk(JOB)
            + b"0\r\nContent-Type: application/json\r\n\r\n"
        ],
        {415},
    ),
    "a host in a trailer": (
        [
            b"POST /jobs HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunk(JOB)
            + b"0\r\nHost: localhost\r\nContent-Type: application/json\r\n\r\n"
        ],
        {421},
    ),
    "chunks that are gzip": (
        [
            head("/jobs", JSON_TYPE, "Transfer-Encoding: gzip, chunked")
            + chunk(gzip.compress(JOB))
            + LAST
        ],
        {400},
    ),
    # Sizes.
    "8 MiB and one, declared": (declared(MOST_BODY_BYTES + 1, b""), {413}),
    "8 MiB and one, streamed": (
        endless(head("/jobs", *CHUNKED), chunk(KIBIBYTES_64), MOST_BODY_BYTES // 65_536 + 1),
        {413},
    ),
    "a bomb as gzip": ([post(BOMB, "Content-Encoding: gzip")], {415}),
    "a bomb as JSON": ([post(BOMB)], {400}),
    # JSON.
    "nothing": ([post(b"")], {400}),
    "deep arrays": ([post(b"[" * 100_000)], {400}),
    "deep objects": ([post(b'{"a":' * 100_000)], {400}),
    "65 levels": (data("[" * 65 + "]" * 65), {400}),
    "a key twice": ([post(JOB[:-1] + b',"type":"pothole.report"}')], {400}),
    "a key twice, escaped": ([post(JOB[:-1] + b',"typ\\u0065":"pothole.report"}')], {400}),
    "NaN": (data("NaN"), {400}),
    "an infinity": (data("-Infinity"), {400}),
    "an infinity by overflow": (data("1e999"), {400}),
    "an integer of 64 bits": (data(str(2**63)), {400}),
    "an integer of a million digits": (data("9" * 1_000_000), {400}),
    "a lone surrogate": (data('"\\ud800"'), {400}),
    "NUL": (data('"\\u0000"'), {400}),
    "NUL in a key": (data('{"\\u0000":1}'), {400}),
    "NUL as a byte": ([post(JOB + b"\0")], {400}),
    "invalid UTF-8": ([post(JOB.replace(b"case-1", b"case-\xff"))], {400}),
    "overlong UTF-8": ([post(JOB.replace(b"case-1", b"case-\xc0\xaf"))], {400}),
    "a surrogate in UTF-8": ([post(JOB.replace(b"case-1", b"case-\xed\xa0\x80"))], {400}),
    "a byte order mark": ([post(b"\xef\xbb\xbf" + JOB)], {400}),
    "UTF-16": ([post(JOB.decode().encode("utf-16"))], {400}),
    "two values": ([post(JOB + JOB)], {400}),
    "a comment": ([post(JOB + b"// x")], {400}),
    "10,001 jobs": ([post(b"[" + b",".join([JOB] * 10_001) + b"]")], {422}),
    # Slowness, and leaving.
    "a head that does not come": ([b""], {0}),
    "a head that stops": ([b"POST /jobs HTT"], {0}),
    "a head after empty lines": ([b"\r\n\r\n"], {0}),
    "a body that does not come": (declared(len(JOB), b""), {408}),
    "a body that stops": (declared(len(JOB), JOB[:9]), {408}),
    "gone within a body": (declared(len(JOB), JOB[:9]), {0}),
    "gone within a head": ([b"POST /jobs HTTP/1.1\r\nHost"], {0}),
    "continue, and nothing": (declared(len(JOB), b"", "Expect: 100-continue"), {408}),
    "a body behind an answer": (
        [GET + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", b"1\r\nx\r\n"],
        {200},
    ),
    # Heads.
    "a request line of a megabyte": ([b"GET /" + b"x" * 1_000_000], {0, 431}),
    "100,000 tiny headers": ([GET + b"x:y\r\n" * 100_000 + b"\r\n"], {0, 431}),
    "headers that never end": (endless(GET, b"x: y\r\n" * 1000, 20), {0, 431}),
    "a header that never ends": (endless(GET + b"x: ", b"y" * 8_192, 20), {0, 431}),
    "a head of 40 KiB at once": ([GET + b"x: " + b"y" * 40_000 + b"\r\n\r\n"], {431}),
    "a header without a name": ([GET + b": y\r\n\r\n"], {400}),
    "a space before the colon": ([GET + b"x : y\r\n\r\n"], {400}),
    "NUL in a header": ([GET + b"x: \0\r\n\r\n"], {400}),
    "a bare return in a header": ([GET + b"x: a\rb: c\r\n\r\n"], {400}),
    "HTTP/0.9": ([b"GET /jobs\r\n\r\n"], {421}),
    "HTTP/2": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], {400}),
    "TLS where there is none": ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], {400}),
    "a tunnel": ([b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n"], {400}),
    "garbage behind a request": ([GET + b"\r\n\x00\x01garbage\r\n\r\n"], {200}),
    "a thousand requests at once": ([(GET + b"\r\n") * 1000], {200}),
    "another protocol": (
        [GET + b"Upgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n"],
        {200},
    ),
}


async def test_no_hostile_body_or_head_gets_in_or_stays(
    service: ApiService,
    caplog: pytest.LogCaptureFixture,
    connections: set[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(ATTACKS) >= 30
    seen = {}
    with caplog.at_level(logging.ERROR):
        for name, (pieces, wanted) in ATTACKS.items():
            with monkeypatch.context() as limits:
                if wanted == {0}:
                    limits.setattr(protocol, "HEAD_SECONDS", 0.1)
                if wanted == {
                    413
                }:  # its answer arrives also if this process gets no CPU for a while
                    limits.setattr(protocol, "CLOSE_SECONDS", PATIENCE_SECONDS)
                if wanted == {408}:
                    limits.setattr(request_body, "BODY_SECONDS", 0.1)
                answer = await exchange(service, pieces, leave=name.startswith("gone"))
            seen[name] = status_of(answer)
    wrong = {name: seen[name] for name, (_, wanted) in ATTACKS.items() if seen[name] not in wanted}
    assert not wrong, "\n".join(f"{k}: {v}" for k, v in wrong.items())
    assert caplog.records == []
    assert await accepted(service) == 0

    async def none_is_open() -> bool:
        return not connections

    await until("all connections are closed", none_is_open)
    assert status_of(await exchange(service, [post()])) == 202
    assert await accepted(service) == 1


async def test_empty_lines_do_not_keep_a_connection(
    service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(GET + b"\r\n")
    assert b"200" in await reader.readuntil(b"alive\n")
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    writer.write(b"\r\n")
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await reader.read() == b""
    writer.close()


async def test_an_act_before_garbage_is_answered_and_stands(service: ApiService) -> None:
    request = post().replace(b"Connection: close", b"Connection: keep-alive")
    answer = await exchange(service, [request + b"\x00garbage"])
    assert status_of(answer) == 202
    assert b"HTTP/1.1 400" not in answer
    assert await accepted(service) == 1


async def test_one_who_takes_no_answers_is_given_up(
    service: ApiService, monkeypatch: pytest.MonkeyPatch, connections: set[object]
) -> None:
    monkeypatch.setattr(slow_clients, "STALLED_SECONDS", 0.1)
    large = {"type": "map.tile", "data": "x" * 900_000, "id": "large"}
    assert (await service.post(large)).status_code == 202
    await service.client.aclose()
    one = b"GET /jobs/large HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as reads_nothing:
        reads_nothing.sendall(one * 16)

        async def given_up() -> bool:
            return not connections

        await until("the connection is given up", given_up)


async def test_bodies_are_bounded_together(
    service: ApiService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(request_body, "MOST_BYTES_TOGETHER", 2 * len(JOB))
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(
        head("/jobs", JSON_TYPE, f"Content-Length: {2 * len(JOB)}", "Expect: 100-continue")
    )
    assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
    writer.write(JOB + JOB[:-1])
    await writer.drain()

    async def busy() -> bool:
        return status_of(await exchange(service, [post()])) == 503

    await until("the HTTP API is busy", busy)
    writer.close()

    async def free() -> bool:
        return status_of(await exchange(service, [post()])) == 202

    await until("the HTTP API accepts bodies again", free)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
