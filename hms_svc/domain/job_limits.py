"""Limits on how many jobs of a type run at the same time, and on how many begin within a time, in the whole fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from hms_svc.domain.plain_text import duration_text, plural

PayloadT_contra = TypeVar("PayloadT_contra", contravariant=True)

LimitKey = Callable[[PayloadT_contra], object]
"""Takes the payload and returns the value for which a limit counts: text or a whole number."""


class Concurrency(msgspec.Struct, Generic[PayloadT_contra], frozen=True):
    """At most `most` jobs of a type run at the same time, in the whole fleet.

    With `key` this holds for each value that it returns, and the jobs of one value
    do not hold back those of another.
    """

    most: int
    key: LimitKey[PayloadT_contra] | None = None


class Rate(msgspec.Struct, Generic[PayloadT_contra], frozen=True):
    """At most `most` jobs of a type begin within any `per_seconds`, in the whole fleet; `key` as for Concurrency.

    The window slides: all of them may begin at once, and the next one when the first of them is
    `per_seconds` old.
    """

    most: int
    per_seconds: float = 1.0
    key: LimitKey[PayloadT_contra] | None = None


class Limit(msgspec.Struct, frozen=True, array_like=True):
    """What a broker counts: jobs that run at the same time, or that began within `window_ms` if that is not 0."""

    most: int
    window_ms: int = 0

    def __str__(self) -> str:
        jobs = f"at most {plural(self.most, 'job')}"
        if not self.window_ms:
            return f"{jobs} at the same time"
        seconds = self.window_ms / 1000
        window = f"{seconds:g} s" if seconds < 60 else duration_text(self.window_ms)
        return f"{jobs} within {window}"


def limit_of(declared: Concurrency[Any] | Rate[Any]) -> Limit:
    """Return what a broker counts for a declared limit."""
    window = declared.per_seconds if isinstance(declared, Rate) else 0
    return Limit(declared.most, round(window * 1000))


class KeyedLimit(msgspec.Struct, frozen=True):
    """A limit for one value of its key. `digest` identifies type, limit and value; `text` is for people.

    `number` is the place of the limit among those that its type declares, from 0.
    """

    digest: str
    text: str
    limit: Limit
    number: int = 0
