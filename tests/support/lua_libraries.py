"""The libraries of Redis's Lua that fakeredis lacks: `cmsgpack`, `struct`, `redis.sha1hex`."""

from __future__ import annotations

import hashlib
import re
import struct
from typing import Any, Final

_SIZES: Final = {"i8": "q", "I8": "Q", "i4": "i", "I4": "I", "i2": "h", "I2": "H"}
_PIECE: Final = re.compile(r"[iI][248]|c(\d+)")
_INTEGERS: Final = {
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
    0xCA: ">f",
    0xCB: ">d",
}
_LENGTHS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}


def teach(server: Any) -> None:
    """Add the functions to the Lua of a server, which has run a script before."""
    runtime = server._lua_runtime
    globals_ = runtime.globals()
    globals_[b"redis"][b"sha1hex"] = lambda text: hashlib.sha1(text).hexdigest().encode()

    def unpack(data: bytes) -> Any:
        return runtime.table_from(_Reader(data).value(), recursive=True)

    globals_[b"cmsgpack"] = runtime.table_from({b"pack": pack_list, b"unpack": unpack})
    globals_[b"struct"] = runtime.table_from({b"pack": pack, b"unpack": read, b"size": size})
    server._lua_expected_globals |= {b"cmsgpack", b"struct"}


def pack_list(values: Any) -> bytes:
    """`cmsgpack.pack` of Lua, for a list of texts and integers."""
    items = list(values.values())
    texts = [
        b"\xdb" + struct.pack(">I", len(item)) + item
        if isinstance(item, bytes)
        else b"\xd3" + struct.pack(">q", int(item))
        for item in items
    ]
    return b"".join([b"\xdd" + struct.pack(">I", len(items)), *texts])


def _format(text: bytes) -> str:
    def python(found: re.Match[str]) -> str:
        return f"{found[1]}s" if found[1] else _SIZES[found[0]]

    return _PIECE.sub(python, text.decode())


def pack(text: bytes, *values: Any) -> bytes:
    """`struct.pack` of Lua."""
    numbers = [int(each) if isinstance(each, float) else each for each in values]
    return struct.pack(_format(text), *numbers)


def read(text: bytes, data: bytes, start: float = 1) -> tuple[Any, ...]:
    """`struct.unpack` of Lua: the values, and the place behind them."""
    form = _format(text)
    begin = int(start) - 1
    return (*struct.unpack_from(form, data, begin), begin + struct.calcsize(form) + 1)


def size(text: bytes) -> int:
    """`struct.size` of Lua."""
    return struct.calcsize(_format(text))


class _Reader:
    """Reads MessagePack; texts stay bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self) -> Any:
        kind = self._take(1)[0]
        if kind < 0x80 or kind >= 0xE0:
            return kind if kind < 0x80 else kind - 0x100
        if kind < 0xC0:
            number = kind & (0x1F if kind >= 0xA0 else 0x0F)
            return self._take(number) if kind >= 0xA0 else self._several(kind >= 0x90, number)
        if kind in _INTEGERS:
            form = _INTEGERS[kind]
            return struct.unpack(form, self._take(struct.calcsize(form)))[0]
        if kind in _LENGTHS:
            return self._take(self._number(_LENGTHS[kind]))
        if kind in (0xDC, 0xDD, 0xDE, 0xDF):
            return self._several(kind < 0xDE, self._number(4 if kind & 1 else 2))
        return {0xC0: None, 0xC2: False, 0xC3: True}[kind]

    def _several(self, is_list: bool, number: int) -> Any:
        if is_list:
            return [self.value() for _ in range(number)]
        return {self.value(): self.value() for _ in range(number)}

    def _number(self, length: int) -> int:
        return int.from_bytes(self._take(length), "big")

    def _take(self, length: int) -> bytes:
        found = self._data[self._at : self._at + length]
        self._at += length
        return found
