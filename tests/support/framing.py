"""Split byte streams into messages: RESP (Redis) and PostgreSQL, in both directions."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

_PROTOCOL_3: Final = 3
_REFUSABLE: Final = frozenset({80877103, 80877104})  # "may we speak TLS", "may we speak GSSAPI"
_ASKS_FOR_ONE_REPLY: Final = frozenset({b"Q", b"S", b"F"})


class Message(NamedTuple):
    """One whole message. `ends_turn`: it is the last message of a request or of an answer.

    `answer` is what the proxy answers itself, instead of passing the message on.
    """

    content: bytes
    ends_turn: bool = True
    answer: bytes = b""


class Framer(Protocol):
    """Splits one direction of one connection into whole messages."""

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that these bytes complete, and keep the rest."""
        ...


class RespFramer:
    """RESP 2 and 3, commands as well as replies. Pushed messages end no turn."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._missing = 1

    def feed(self, data: bytes) -> list[Message]:
        self._buffer += data
        found = []
        while self._read_element():
            if not self._missing:
                content = bytes(self._buffer[: self._at])
                del self._buffer[: self._at]
                self._at, self._missing = 0, 1
                found.append(Message(content, ends_turn=content[:1] != b">"))
        return found

    def _read_element(self) -> bool:
        line_end = self._buffer.find(b"\r\n", self._at)
        if line_end < 0:
            return False
        line = bytes(self._buffer[self._at : line_end])
        kind, rest = line[:1], line[1:]
        after = line_end + 2
        if kind in (b"$", b"=", b"!") and int(rest) >= 0:
            after += int(rest) + 2
            if len(self._buffer) < after:
                return False
        self._at = after
        self._missing += _elements_within(kind, rest) - 1
        return True


def _elements_within(kind: bytes, size: bytes) -> int:
    if kind in (b"*", b"~", b">"):
        return max(0, int(size))
    if kind == b"%":
        return 2 * int(size)
    return 2 * int(size) + 1 if kind == b"|" else 0  # an attribute precedes its value


class PostgresFramer:
    """PostgreSQL's protocol 3; `of_client` is whether these are the messages of the client.

    A client's request for encryption is refused, so that its messages can be read.
    """

    def __init__(self, *, of_client: bool) -> None:
        self._of_client = of_client
        self._typed = not of_client
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        self._buffer += data
        found = []
        while (content := self._take()) is not None:
            found.append(self._read(content))
        return found

    def _take(self) -> bytes | None:
        head = 1 if self._typed else 0
        if len(self._buffer) < head + 4:
            return None
        size = head + int(struct.unpack_from("!I", self._buffer, head)[0])
        if len(self._buffer) < size:
            return None
        content = bytes(self._buffer[:size])
        del self._buffer[:size]
        return content

    def _read(self, content: bytes) -> Message:
        if self._typed:
            kind = content[:1]
            return Message(
                content, kind in _ASKS_FOR_ONE_REPLY if self._of_client else kind == b"Z"
            )
        code = int(struct.unpack_from("!I", content, 4)[0])
        if code in _REFUSABLE:
            return Message(content, ends_turn=False, answer=b"N")
        self._typed = code >> 16 == _PROTOCOL_3
        return Message(content, ends_turn=self._typed)


class Dialect(NamedTuple):
    """The two framers of a protocol."""

    requests: Callable[[], Framer]
    replies: Callable[[], Framer]


RESP: Final = Dialect(RespFramer, RespFramer)
POSTGRESQL: Final = Dialect(
    lambda: PostgresFramer(of_client=True), lambda: PostgresFramer(of_client=False)
)
