"""What compiled Lua 5.1 names and makes: the version of Lua that Redis runs scripts with."""

from __future__ import annotations

import re
import struct
from typing import Final

from lupa.lua51 import LuaRuntime  # type: ignore[import-untyped]  # lupa has no types

_HEADER_SIZE: Final = 12
_TEXT, _NUMBER, _TRUTH = 4, 3, 1
_GET_GLOBAL, _SET_GLOBAL, _CLOSURE = 5, 7, 36


class LuaFunction:
    """A function: the globals that it uses itself, and the functions that its own statements make."""

    end: int

    def __init__(self, code: bytes, at: int) -> None:
        self._code, self._at = code, at
        self._text()
        self._skip(4 + 4)
        self.upvalues = self._take("B")
        self._skip(1 + 1 + 1)
        instructions = [self._take("<I") for _ in range(self._take("<i"))]
        constants = [self._constant() for _ in range(self._take("<i"))]
        self.made: list[LuaFunction] = []
        for _ in range(self._take("<i")):
            self.made.append(LuaFunction(code, self._at))
            self._at = self.made[-1].end
        self._skip(4 * self._take("<i"))
        for _ in range(self._take("<i")):
            self._text()
            self._skip(4 + 4)
        for _ in range(self._take("<i")):
            self._text()
        self.end = self._at
        named = (
            constants[word >> 14]
            for word in instructions
            if word & 63 in {_GET_GLOBAL, _SET_GLOBAL}
        )
        self.own_globals = {name for name in named if isinstance(name, str)}

    @property
    def globals(self) -> set[str]:
        """The names of all globals in it and in the functions that it makes."""
        return self.own_globals.union(*(each.globals for each in self.made))

    def _take(self, format: str) -> int:
        [value] = struct.unpack_from(format, self._code, self._at)
        self._skip(struct.calcsize(format))
        return int(value)

    def _skip(self, size: int) -> None:
        self._at += size

    def _text(self) -> str:
        size = self._take("<Q")
        text = self._code[self._at : self._at + size]
        self._skip(size)
        return text.rstrip(b"\0").decode("latin-1")

    def _constant(self) -> object:
        kind = self._take("B")
        if kind == _TEXT:
            return self._text()
        if kind == _NUMBER:
            self._skip(8)
        elif kind == _TRUTH:
            self._skip(1)
        return None


def compiled(text: str) -> LuaFunction:
    """Return a script as Redis compiles it; raise `lupa.LuaError` if it is none."""
    runtime = LuaRuntime(encoding=None)
    dump = runtime.eval(b"function(text) return string.dump(assert(loadstring(text))) end")
    return LuaFunction(dump(re.sub(r"^#!.*", "", text).encode()), _HEADER_SIZE)


def result_of(text: str) -> object:
    """Run a script that uses nothing of Redis; return what it returns."""
    result: object = LuaRuntime().execute(text)
    return result
