"""The Lua scripts in `lua/`, each with the shared code that it uses before it, identified by its digest."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from hms_svc.brokers.redis.constants import TABLES, with_constants
from hms_svc.brokers.redis.lua_parts import Part, linked, parts_of

_WRITES: Final = "#!lua flags=allow-oom\n"
_ACCEPTS: Final = "#!lua\n"
_READS: Final = "#!lua flags=no-writes\n"
_HEADS: Final = {
    "enqueue": _ACCEPTS,
    "enqueue_batch": _ACCEPTS,
    "refuse": _ACCEPTS,
    "publish": _ACCEPTS,
    "schedules": _ACCEPTS,
    "queues": _READS,
    "grouped": _READS,
    "failures": _READS,
    "slice": _READS,
    "rightmost": _READS,
    "running": _READS,
    "signals": _READS,
}
"""A full Redis refuses scripts that accept jobs or events; all others still run and drain it."""
SHARED: Final = (
    "prelude",
    "record",
    "changes",
    "limits",
    "uniqueness",
    "batches",
    "commit",
    "acceptance",
    "settling",
    "prefilter",
)


class Script(msgspec.Struct, frozen=True):
    """One script: its text, and the SHA-1 by which the server identifies it."""

    name: str
    text: str
    digest: str


@cache
def script(name: str) -> Script:
    """Return a script. Its first line tells the server whether it may run when memory is full."""
    text = _HEADS.get(name, _WRITES) + linked(_shared(), _read(name))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def _shared() -> list[Part]:
    return parts_of(TABLES + "\n".join(map(_read, SHARED)))


def _read(part: str) -> str:
    text = files(__package__).joinpath("lua", f"{part}.lua").read_text("utf-8")
    return with_constants(text)
