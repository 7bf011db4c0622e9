"""Describes keys of other programs that have the wrong Redis type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_RETRY: Final = (
    "a sorted set",
    "it does not show retrying jobs, and jobs pushed there never run; push them to jobs:TYPE",
)
_INTAKE: Final = ("a list", "jobs pushed for this type are not accepted")
_STATS: Final = ("a hash", "the counters of this type are not recorded")


def faults_of(found: Sequence[bytes]) -> tuple[str, ...]:
    """Return a sentence for each pair of key and Redis type: what is wrong, and what to do."""
    pairs = zip(found[::2], found[1::2], strict=True)
    return tuple(sorted(_fault(key.decode(), kind.decode()) for key, kind in pairs))


def _fault(key: str, kind: str) -> str:
    expected, consequence = _expected(key)
    return f"{key} is a {kind}, not {expected}: {consequence}; check it, then delete it (DEL {key})"


def _expected(key: str) -> tuple[str, str]:
    if key.startswith("stats:"):
        return _STATS
    return _RETRY if key.endswith(":retry") else _INTAKE
