"""A proxy that breaks connections on request, message by message, in front of a real server.

It runs on its own thread, so that it works while the test's event loop is blocked.
A change is in force when the call returns.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from tests.support.framing import RESP, Dialect, Message

LOOPBACK: Final = "127.0.0.1"
_RESET: Final = struct.pack("ii", 1, 0)
_CHUNK: Final = 1 << 18
_TURNS_TO_ACCEPT: Final = 5
_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


class ConnectionFault(Enum):
    """What happens to the request that a rule waits for."""

    CUT_BEFORE = "the connection ends before the server has seen the request"
    CUT_AFTER_REPLY = "the server has answered, the connection ends before the client reads it"
    CUT_INSIDE_REPLY = "the client reads half of the answer"


class Traffic(NamedTuple):
    """The traffic so far. A round trip is a read from a client that completed requests."""

    connections: int = 0
    requests: int = 0
    round_trips: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    cuts: int = 0

    def since(self, earlier: Traffic) -> Traffic:
        """Return the difference."""
        return Traffic(*(now - then for now, then in zip(self, earlier, strict=True)))


class Rule:
    """Wait for the n-th request that contains these bytes."""

    def __init__(self, fault: ConnectionFault, nth: int, matching: bytes) -> None:
        self.fault = fault
        self._left = nth
        self._matching = matching

    def met_by(self, message: Message) -> bool:
        """Count the request; return True if it is the one."""
        if self._matching in message.content:
            self._left -= 1
        return self._left == 0


def free_port() -> int:
    """Return a free port outside of the range for outgoing connections.

    A client that dials a closed port of the ephemeral range again and again
    may end up connected to itself.
    """
    lowest = int(_PORTS.read_text().split()[0]) if _PORTS.exists() else 32_768
    while True:
        port = random.SystemRandom().randrange(lowest // 2, lowest)
        with socket.socket() as tried:
            try:
                tried.bind((LOOPBACK, port))
            except OSError:
                continue
            return port


class Proxy:
    """Listens on its own port. Use it with `with`, or call `start` and `stop`."""

    def __init__(self, port: int, *, host: str = LOOPBACK, dialect: Dialect = RESP) -> None:
        self.target = (host, port)
        self.dialect = dialect
        self.port = free_port()
        self.traffic = Traffic()
        self.rule: Rule | None = None
        self.delay_seconds = 0.0
        self.trickles = False
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._listener: asyncio.Server | None = None
        self.flowing = asyncio.Event()

    def start(self) -> Self:
        """Listen, and pass everything through."""
        self._thread.start()
        self.pass_through()
        return self

    def stop(self) -> None:
        """Close every connection, and end the thread."""
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def pass_through(self) -> None:
        """Pass everything through again; frozen connections continue, new ones are accepted."""
        self._do(self._pass_through)

    def cut_before(self, nth: int = 1, matching: bytes = b"") -> None:
        """Close the connection at the n-th matching request from now on, before the server receives it."""
        self._arm(Rule(ConnectionFault.CUT_BEFORE, nth, matching))

    def cut_after_reply(self, nth: int = 1, matching: bytes = b"") -> None:
        """Close the connection after the server has answered the n-th matching request: executed, but unanswered."""
        self._arm(Rule(ConnectionFault.CUT_AFTER_REPLY, nth, matching))

    def cut_inside_reply(self, nth: int = 1, matching: bytes = b"") -> None:
        """Close the connection in the middle of the answer to the n-th matching request."""
        self._arm(Rule(ConnectionFault.CUT_INSIDE_REPLY, nth, matching))

    def reset_all(self) -> None:
        """End every connection at once with a reset, as a rebooted machine would."""
        self._do(self._reset_all)

    def black_hole(self) -> None:
        """Freeze every connection; new ones are accepted and never answered."""
        self._do(self._black_hole)

    def refuse(self) -> None:
        """Close every connection, and refuse new ones."""
        self._do(self._refuse)

    def delay(self, milliseconds: float) -> None:
        """Delay what each client sends by this long; 0 ends the delay."""
        self.delay_seconds = milliseconds / 1000

    def trickle(self, on: bool = True) -> None:
        """Pass answers on one byte at a time."""
        self.trickles = on

    @property
    def armed(self) -> bool:
        """Whether a cut is still waiting for its request."""
        return self.rule is not None

    def count(self, **more: int) -> None:
        """Add to the traffic."""
        now = self.traffic._asdict()
        self.traffic = self.traffic._replace(**{name: now[name] + more[name] for name in more})

    def _arm(self, rule: Rule) -> None:
        self.rule = rule

    def _do(self, what: Callable[[], object]) -> None:
        async def call() -> None:
            result = what()
            if asyncio.iscoroutine(result):
                await result

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    async def _pass_through(self) -> None:
        self.rule, self.delay_seconds, self.trickles = None, 0.0, False
        self.flowing.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, LOOPBACK, self.port)

    def _black_hole(self) -> None:
        self.flowing.clear()

    async def _refuse(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            for each in listener.sockets:
                self._loop.remove_reader(each)
            for _ in range(_TURNS_TO_ACCEPT):  # asyncio loses who is accepted by a closed listener
                await asyncio.sleep(0)
            listener.close()
        self._cut_all()

    def _reset_all(self) -> None:
        for link in self._links:
            link.reset()

    def _cut_all(self) -> None:
        for link in self._links:
            link.cut()

    async def _end(self) -> None:
        await self._refuse()
        for link in self._links:
            link.task.cancel()
        if self._links:
            await asyncio.wait([link.task for link in self._links])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, reader, writer)
        self._links.add(link)
        self.count(connections=1)
        link.task.add_done_callback(lambda _: self._links.discard(link))


class _Link:
    """A client's connection, and the matching connection to the server."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._client_reader, self._client_writer = reader, writer
        self._server_writer: asyncio.StreamWriter | None = None
        self._asked = 0
        self._answered = 0
        self._cut_at = 0
        self._fault: ConnectionFault | None = None
        self._kept_back = b""
        self.task = asyncio.create_task(self._run(), name="proxy link")

    async def _run(self) -> None:
        try:
            await self._proxy.flowing.wait()
            await self._hand_on_until_one_ends()
        finally:
            self.cut()

    async def _hand_on_until_one_ends(self) -> None:
        try:
            reader, self._server_writer = await asyncio.open_connection(*self._proxy.target)
        except OSError:
            return
        ways = [
            asyncio.create_task(self._upward(self._server_writer), name="proxy upward"),
            asyncio.create_task(self._downward(reader), name="proxy downward"),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def cut(self) -> None:
        """Close both connections."""
        for writer in (self._client_writer, self._server_writer):
            if writer is not None:
                writer.transport.abort()

    def reset(self) -> None:
        """Close both connections, the client's with a reset."""
        raw = self._client_writer.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._proxy.count(cuts=1)
        self.cut()

    async def _upward(self, server: asyncio.StreamWriter) -> None:
        framer = self._proxy.dialect.requests()
        while data := await self._client_reader.read(_CHUNK):
            await self._proxy.flowing.wait()
            if self._proxy.delay_seconds:
                await asyncio.sleep(self._proxy.delay_seconds)
            messages = framer.feed(data)
            turns = sum(message.ends_turn for message in messages)
            self._proxy.count(bytes_up=len(data), requests=turns, round_trips=bool(turns))
            for message in messages:
                if not self._hand_on(message, server):
                    return
            await server.drain()

    def _hand_on(self, message: Message, server: asyncio.StreamWriter) -> bool:
        if message.answer:
            self._client_writer.write(message.answer)
            return True
        self._asked += message.ends_turn
        rule = self._proxy.rule
        if rule is not None and rule.met_by(message):
            self._proxy.rule = None
            if rule.fault is ConnectionFault.CUT_BEFORE:
                self._proxy.count(cuts=1)
                return False
            self._fault = rule.fault
            self._cut_at = self._asked if message.ends_turn else self._asked + 1
        server.write(message.content)
        return True

    async def _downward(self, server: asyncio.StreamReader) -> None:
        framer = self._proxy.dialect.replies()
        while data := await server.read(_CHUNK):
            await self._proxy.flowing.wait()
            for message in framer.feed(data):
                self._answered += message.ends_turn
                if not self._cut_at or self._turn_of(message) < self._cut_at:
                    await self._pass_on(message.content)
                    continue
                self._kept_back += message.content
                if message.ends_turn:
                    await self._break_off()
                    return

    def _turn_of(self, message: Message) -> int:
        return self._answered if message.ends_turn else self._answered + 1

    async def _break_off(self) -> None:
        if self._fault is ConnectionFault.CUT_INSIDE_REPLY:
            await self._pass_on(self._kept_back[: len(self._kept_back) // 2])
        self._proxy.count(cuts=1)

    async def _pass_on(self, content: bytes) -> None:
        self._proxy.count(bytes_down=len(content))
        step = 1 if self._proxy.trickles else len(content)
        for at in range(0, len(content), max(1, step)):
            self._client_writer.write(content[at : at + step])
            await self._client_writer.drain()
            if step == 1:
                await asyncio.sleep(0)
