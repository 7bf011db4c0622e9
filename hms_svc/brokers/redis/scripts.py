"""The Lua scripts in `lua/`, each with the shared code before it, identified by its digest."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from hms_svc.brokers.redis.constants import with_constants

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
_ACCEPTING: Final = frozenset({"enqueue", "refuse", "absorb", "schedules"})


class Script(msgspec.Struct, frozen=True):
    """One script: its text, and the SHA-1 by which the server identifies it."""

    name: str
    text: str
    digest: str


@cache
def script(name: str) -> Script:
    """Return a script. Its first line tells the server whether it may run when memory is full."""
    acceptance = ["acceptance"] if name in _ACCEPTING else []
    prefilter = ["prefilter"] if name == "slice" else []
    parts = [
        "prelude",
        "record",
        "changes",
        "limits",
        "uniqueness",
        "batches",
        "commit",
        *acceptance,
        *prefilter,
        name,
    ]
    folder = files(__package__).joinpath("lua")
    body = "\n".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in parts)
    text = _HEADS.get(name, _WRITES) + with_constants(body)
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
