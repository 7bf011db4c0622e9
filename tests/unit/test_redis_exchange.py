"""The connections that share all commands, before a server that the test controls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from types import SimpleNamespace

import pytest
from hiredis import Reader
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from hms_svc.brokers.redis.clients import ServerClients
from hms_svc.brokers.redis.exchange import MOST_CONNECTIONS, Exchange
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.redis.wire import unasked
from hms_svc.domain.backend_url import read_broker_url
from hms_svc.domain.errors import BrokerUnavailable
from tests.support.waiting import until

LARGE = b"x" * 4_000_000
TURNS_TO_BEGIN = 2
"""Iterations of the loop from a command to the beginning of a connection."""


class Client(asyncio.Protocol):
    """One connection at the server's end."""

    transport: asyncio.Transport

    def __init__(self, server: ControlledServer) -> None:
        self._server = server
        self.received = b""
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.clients.append(self)
        if not self._server.reads:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


class ControlledServer:
    """Takes connections, and does what the test does with them."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.reads = True
        self.is_loading = False
        self.port = 0

    async def received(self, text: bytes) -> Client:
        """Wait until a connection has received a text, and return it."""
        await until(f"{text!r} came", lambda: self._who_received(text))
        return self._who_received(text)[0]

    def _who_received(self, text: bytes) -> list[Client]:
        return [client for client in self.clients if text in client.received]


@pytest.fixture
async def server() -> AsyncIterator[ControlledServer]:
    server = ControlledServer()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Client(server), "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    for client in server.clients:
        client.transport.abort()
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def exchange(server: ControlledServer) -> AsyncIterator[Exchange]:
    # The client of the probe: it sends nothing before the first command.
    exchange = ServerClients(read_broker_url(f"redis://127.0.0.1:{server.port}/0")).for_probe()
    yield exchange
    await exchange.close()


def _has_clients(server: ControlledServer, number: int) -> bool:
    return len(server.clients) == number


def ask(exchange: Exchange, *words: bytes | str) -> asyncio.Task[object]:
    return asyncio.create_task(exchange.ask(*words))


async def test_a_server_that_reads_nothing_gets_two_exchanges_at_most(
    server: ControlledServer, exchange: Exchange
) -> None:
    server.reads = False
    asked = []
    for number in range(MOST_CONNECTIONS):
        asked.append(ask(exchange, "SET", f"large-{number}", LARGE))
        await until("another connection is made", partial(_has_clients, server, number + 1))
    asked += [ask(exchange, "SET", f"later-{number}", "1") for number in range(2)]
    for client in server.clients:
        client.transport.resume_reading()
    first = await server.received(b"large-0")
    second = await server.received(b"large-1")
    await until(
        "both have come whole", lambda: min(len(c.received) for c in server.clients) > len(LARGE)
    )
    assert not any(b"later" in client.received for client in server.clients)
    second.transport.write(b"+OK\r\n")
    assert await server.received(b"later-0") is await server.received(b"later-1") is second
    second.transport.write(b"+OK\r\n+OK\r\n")
    first.transport.write(b"+OK\r\n")
    assert len(await asyncio.gather(*asked)) == MOST_CONNECTIONS + 2


async def test_a_connection_cut_inside_a_reply_is_made_again(
    server: ControlledServer, exchange: Exchange
) -> None:
    asked = [ask(exchange, "GET", "one"), ask(exchange, "GET", "two")]
    client = await server.received(b"two")
    client.transport.write(b"$3\r\none\r\n$3\r\nt")
    client.transport.close()
    first, second = await asyncio.gather(*asked, return_exceptions=True)
    assert (first, type(second)) == (b"one", RedisConnectionError)
    again = ask(exchange, "GET", "three")
    (await server.received(b"three")).transport.write(b"$5\r\nthree\r\n")
    assert await again == b"three"


async def test_a_connection_cut_while_nobody_asks_is_made_again(
    server: ControlledServer, exchange: Exchange
) -> None:
    asked = ask(exchange, "GET", "one")
    client = await server.received(b"one")
    client.transport.write(b"$3\r\none\r\n")
    await asked
    client.transport.write_eof()
    await until("the other end is closed too", lambda: client.is_lost)
    again = ask(exchange, "GET", "two")
    (await server.received(b"two")).transport.write(b"$3\r\ntwo\r\n")
    assert await again == b"two"


async def test_a_stale_connection_ends_its_exchange_and_is_made_again(
    server: ControlledServer, exchange: Exchange
) -> None:
    asked = ask(exchange, "GET", "one")
    client = await server.received(b"one")
    await exchange.reconnect()
    client.transport.write(b"$3\r\none\r\n")
    assert await asked == b"one"
    again = ask(exchange, "GET", "two")
    second = await server.received(b"two")
    second.transport.write(b"$3\r\ntwo\r\n")
    assert (await again, second is client) == (b"two", False)


async def test_a_close_fails_what_is_unanswered_and_what_waits(
    server: ControlledServer, exchange: Exchange
) -> None:
    asked = []
    for number in range(MOST_CONNECTIONS):
        asked.append(ask(exchange, "GET", f"key-{number}"))
        await server.received(f"key-{number}".encode())
    asked.append(ask(exchange, "GET", "waiting"))
    await asyncio.sleep(0)
    await exchange.close()
    errors = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(error) for error in errors] == [ConnectionResetError] * 3
    with pytest.raises(ConnectionResetError):
        await exchange.ask("PING")
    await until("both connections ended", lambda: all(c.is_lost for c in server.clients))
    assert len(server.clients) == MOST_CONNECTIONS


@pytest.mark.parametrize("turns", range(6))
async def test_a_close_while_it_connects_fails_who_waits_for_that(
    exchange: Exchange, turns: int
) -> None:
    asked = ask(exchange, "PING")
    for _ in range(turns):
        await asyncio.sleep(0)
    await exchange.close()
    with pytest.raises(ConnectionResetError):
        await asked


async def test_what_a_full_server_says_reaches_the_caller(
    server: ControlledServer, exchange: Exchange
) -> None:
    asked = ask(exchange, "PING")
    client = await server.received(b"PING")
    client.transport.write(b"-ERR max number of clients reached\r\n")
    client.transport.close()
    with pytest.raises(RedisConnectionError, match="max number of clients"):
        await asked


async def test_commands_fail_if_the_connection_they_wait_for_is_cancelled(
    server: ControlledServer, exchange: Exchange
) -> None:
    asked = ask(exchange, "PING")
    for _ in range(TURNS_TO_BEGIN):
        await asyncio.sleep(0)
    [task] = connecting()
    task.cancel()
    with pytest.raises(ConnectionResetError):
        await asked
    again = ask(exchange, "GET", "key")
    client = await server.received(b"key")
    client.transport.write(b"$3\r\none\r\n")
    assert await again == b"one"


def connecting() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("redis-connection")]


class ScriptedClient(Client):
    """Answers as a server that may be loading its data."""

    def data_received(self, data: bytes) -> None:
        reader = Reader()
        reader.feed(data)
        while (command := reader.gets()) is not False:
            self.transport.write(self._answer(command[0]))

    def _answer(self, name: bytes) -> bytes:
        if self._server.is_loading:
            return b"-LOADING Redis is loading the dataset in memory\r\n"
        info = b"redis_version:7.0.15\r\n"
        known = {b"INFO": b"$%d\r\n%b\r\n" % (len(info), info), b"EXISTS": b":0\r\n"}
        return known.get(name, b"+OK\r\n")


@pytest.mark.parametrize("greeting", [b"", b"-ERR max number of clients reached\r\n", b"+OK\r\n"])
async def test_what_a_server_says_before_any_command_is_no_reply(greeting: bytes) -> None:
    reader = asyncio.StreamReader()
    if greeting:
        reader.feed_data(greeting)
    parser = SimpleNamespace(parse_error=ResponseError)
    transport = SimpleNamespace(is_closing=lambda: False)
    writer = SimpleNamespace(transport=transport)
    connection = SimpleNamespace(_reader=reader, _writer=writer, _parser=parser)
    found = unasked(connection)
    assert str(found or "") == {
        b"": "",
        b"-ERR max number of clients reached\r\n": "ERR max number of clients reached",
        b"+OK\r\n": "a reply to no command",
    }.get(greeting)


async def test_after_a_server_was_loading_the_next_command_looks_up_the_server_again() -> None:
    server = ControlledServer()
    listening = await asyncio.get_running_loop().create_server(
        lambda: ScriptedClient(server), "127.0.0.1", 0
    )
    port = listening.sockets[0].getsockname()[1]
    address = read_broker_url(f"redis://127.0.0.1:{port}/0")
    link = Link(address, "hms", ServerClients(address))
    await link.open()
    server.is_loading = True
    with pytest.raises(BrokerUnavailable, match="loading"):
        await link.ask("ECHO", "one")
    server.is_loading = False
    before = len(server.clients)
    assert await link.ask("ECHO", "two") == b"OK"
    assert len(server.clients) == before + 1
    await link.close()
    listening.close()
    await listening.wait_closed()
