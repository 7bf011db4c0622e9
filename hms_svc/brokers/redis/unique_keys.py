"""Unique keys and their rules as records and scripts have them; see `lua/uniqueness.lua`."""

from __future__ import annotations

import hashlib
from typing import Final, Literal, TypeAlias

from hms_svc.domain.job import Job
from hms_svc.domain.uniqueness import UniqueRule

DIGEST_SIZE: Final = 40
"""The length of the digest of a unique key."""
RuleRow: TypeAlias = tuple[str, int, int, int]
"""Digest of the key, window (ms), for how long (ms) a job waits that is replaced, 0 if it says itself when it is
due, -1 if none is replaced, and until how long (ms) after the first at most."""


def unique_text(job: Job) -> str:
    """Return the unique key of a job as its record has it: see `digest_in` of the scripts."""
    until = "ended" if job.unique is None else job.unique.until
    if until == "window":
        return ""
    digest = digest_of(job.unique_key)
    return f"{digest}s" if digest and until == "started" else digest


def rule_row(
    unique_key: str | None, rule: UniqueRule | None, own_delay_ms: int = 0
) -> RuleRow | Literal[False]:
    """Return the rule for a unique key as the scripts take it, False for the usual one."""
    if unique_key is None or rule is None or not (rule.window_ms or rule.delay_ms):
        return False
    delay_ms = own_delay_ms if rule.delay_ms else -1
    return digest_of(unique_key), rule.window_ms, delay_ms, rule.most_ms


def digest_of(unique_key: str | None) -> str:
    """Return the digest of a unique key, empty for none."""
    return (
        hashlib.sha1(unique_key.encode(), usedforsecurity=False).hexdigest() if unique_key else ""
    )
