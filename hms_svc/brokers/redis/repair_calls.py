"""The scripts that find and repair missing indexes, counts and groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hms_svc.brokers.redis.calls import ScriptCall, binary, nothing

STEP_SECONDS = 60
"""A repair whose step takes longer than this is considered dead."""


class Checked(NamedTuple):
    """Whether records must be walked, how many jobs have failed, and types whose mirror is stale."""

    broken: bool
    failed: int
    stale: list[str]


def check(types: Sequence[str], *, seconds: int = STEP_SECONDS) -> ScriptCall[Checked]:
    """Check the indexes and counts of some types."""
    return ScriptCall("check", _checked, seconds=seconds, types=types)


def _checked(reply: list[Any]) -> Checked:
    broken, failed, *stale = reply
    return Checked(bool(broken), failed, [type.decode() for type in stale])


def check_groups() -> ScriptCall[bool]:
    """Return whether records must be walked because the failure groups do not add up."""
    return ScriptCall("check_groups", bool, seconds=STEP_SECONDS)


def grouped() -> ScriptCall[int]:
    """Count the jobs in all failure groups."""
    return ScriptCall("grouped", int)


def heal(ids: Sequence[str]) -> ScriptCall[int]:
    """Put records back into their indexes and groups; return how many were missing."""
    return ScriptCall("heal", int, seconds=STEP_SECONDS, ids=ids)


def prune_group(cause: str, ids: Sequence[bytes]) -> ScriptCall[int]:
    """Remove jobs from a failure group that do not belong to it."""
    return ScriptCall(
        "prune_group", int, seconds=STEP_SECONDS, cause=cause, ids=list(map(binary, ids))
    )


def recount(types: Sequence[str]) -> ScriptCall[None]:
    """Set counts and gauges to the sizes of the indexes."""
    return ScriptCall("recount", nothing, types=types)


def mirror(type: str, *, first: int, number: int) -> ScriptCall[int]:
    """Show other programs some of the retrying jobs of a type; return how many were shown."""
    return ScriptCall("mirror", int, type=type, first=first, number=number)
