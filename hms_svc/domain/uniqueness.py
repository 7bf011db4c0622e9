"""For how long a job holds its unique key, and which of two jobs gets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, Literal, TypeAlias

import msgspec

from hms_svc.domain.job_limits import PayloadT_contra
from hms_svc.domain.plain_text import duration_text

KeyFunction: TypeAlias = Callable[[Any], str]
"""Takes the payload and returns the key."""
Until: TypeAlias = Literal["ended", "started", "window"]
TIMES_DELAY: Final = 10
"""After so many times its `seconds` a debounced job runs, unless its declaration says otherwise."""


class Unique(msgspec.Struct, Generic[PayloadT_contra], frozen=True):
    """One job of a type holds a key: another with the same key is rejected, and names the holder.

    `key` takes the payload and returns text. A job holds its key until it has ended, or with `until="started"`
    until it is claimed for the first time. With `window_seconds` it also holds it for so long
    after it was accepted, whatever becomes of it; with `until="window"` only that long.
    """

    key: Callable[[PayloadT_contra], str]
    until: Until = "ended"
    window_seconds: float | None = None


class Debounce(msgspec.Struct, Generic[PayloadT_contra], frozen=True):
    """Of the jobs of a type with one key that are enqueued in quick succession, the last one runs.

    A job waits for `seconds`, unless it says itself when it is due. One with its key that is enqueued
    while it waits replaces it: it is cancelled, and the new one waits, but at most until
    `most_seconds` after the first of them was enqueued (None: ten times `seconds`). From its first
    claim on a job is not replaced any more.
    """

    key: Callable[[PayloadT_contra], str]
    seconds: float
    most_seconds: float | None = None


class UniqueRule(msgspec.Struct, frozen=True):
    """What a broker keeps to: how long a job holds its key, and whether the next one replaces it.

    The window is in milliseconds, 0 for none. With a `delay_ms` a job that has not been claimed is replaced,
    and its successor waits until `most_ms` after the first one, at most.
    """

    until: Until = "ended"
    window_ms: int = 0
    delay_ms: int = 0
    most_ms: int = 0

    def __str__(self) -> str:
        if self.delay_ms:
            most = _seconds_text(self.most_ms)
            return f"a waiting job is replaced, for at most {most}"
        window = _seconds_text(self.window_ms)
        if self.until == "window":
            return f"a job holds its key for {window}"
        until = "it has ended" if self.until == "ended" else "it is claimed"
        return f"a job holds its key until {until}" + (
            f", for at least {window}" if self.window_ms else ""
        )


PLAIN: Final = UniqueRule()


def _seconds_text(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    return f"{seconds:g} s" if seconds < 60 else duration_text(milliseconds)


def key_function(declared: KeyFunction | Unique[Any] | Debounce[Any]) -> KeyFunction:
    """Return the function that makes the key."""
    return declared.key if isinstance(declared, Unique | Debounce) else declared


def rule_of(declared: KeyFunction | Unique[Any] | Debounce[Any] | None) -> UniqueRule:
    """Return the rule of a declaration."""
    if isinstance(declared, Unique):
        return UniqueRule(declared.until, round((declared.window_seconds or 0) * 1000))
    if isinstance(declared, Debounce):
        most = declared.most_seconds
        if most is None:
            most = TIMES_DELAY * declared.seconds
        delay_ms = max(1, round(declared.seconds * 1000))
        return UniqueRule("started", delay_ms=delay_ms, most_ms=round(most * 1000))
    return PLAIN
