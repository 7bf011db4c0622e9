"""The sentences that name the job that holds a unique key."""

from __future__ import annotations

from typing import Final

_HELD_BY: Final = " is held by job "
REPLACED_BY: Final = "by job {job}"
"""The detail of a job that was cancelled because another one with its key has replaced it."""


def held_by(unique_key: str | None, holder: str) -> str:
    """Return the detail of a job whose unique key the job `holder` holds."""
    return f"unique key {unique_key!r}{_HELD_BY}{holder}"


def holder_in(detail: str) -> str | None:
    """Return the id of the job that a detail names as the holder, None if it names none."""
    _, found, holder = detail.rpartition(_HELD_BY)
    return holder if found else None
