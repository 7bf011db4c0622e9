"""One call of a script: its name, its arguments by name, and how its reply is read.

Each script has one function that returns such a call, in the modules named `*_calls.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

Answer = TypeVar("Answer")
_encode: Final = msgspec.msgpack.Encoder().encode


def binary(data: bytes) -> msgspec.Raw:
    """Return bytes as an argument: the scripts know one kind of string, which need not be text."""
    return msgspec.Raw(b"\xdb" + len(data).to_bytes(4, "big") + data)


class ScriptCall(Generic[Answer]):
    """A script with its arguments; `read` turns the reply of the server into the answer."""

    __slots__ = ("arguments", "name", "read")

    def __init__(self, name: str, read: Callable[[Any], Answer], /, **arguments: object) -> None:
        self.name = name
        self.read = read
        self.arguments = _encode(arguments)


def nothing(_reply: Any) -> None:
    """Read the reply of a script that returns nothing."""


def texts(reply: Sequence[bytes]) -> list[str]:
    """Read a list of texts."""
    return [text.decode() for text in reply]
