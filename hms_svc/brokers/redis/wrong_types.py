"""Keys that other programs write to and that have the wrong Redis type, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_RETRY: Final = (
    "a sorted set",
    "nobody sees there what is retrying, and jobs pushed there never run; push them to jobs:TYPE",
)
_INTAKE: Final = ("a list", "nothing that is pushed for this type is taken")
_STATS: Final = ("a hash", "the counters of this type are lost meanwhile")


def faults_of(found: Sequence[bytes]) -> tuple[str, ...]:
    """Return a sentence for each pair of key and Redis type: what is wrong, and what to do."""
    pairs = zip(found[::2], found[1::2], strict=True)
    return tuple(sorted(_fault(key.decode(), kind.decode()) for key, kind in pairs))


def _fault(key: str, kind: str) -> str:
    wanted, harm = _expected(key)
    return f"{key} is a {kind}, not {wanted}: {harm}; look at it, then delete it (DEL {key})"


def _expected(key: str) -> tuple[str, str]:
    if key.startswith("stats:"):
        return _STATS
    return _RETRY if key.endswith(":retry") else _INTAKE
