"""What becomes of a job whose end no worker reports, and in which words: the same on both brokers.

The scripts of Redis get the words, and the fates as a table, from here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from hms_svc.domain.backoff import MAX_CRASHES
from hms_svc.ports.broker import KnownEffects

EXPIRED: Final = "expires_at passed before the first claim"
LOST: Final = "its record was missing in the broker"
UNREADABLE: Final = "its record in the broker is not one of this version"
UNSERVED: Final = "no worker served {type} for as long as unserved jobs are kept"
WORKER_DIED: Final = "WorkerDied"
"""The class of the error of a job whose worker died."""
CRASHED: Final = "worker {worker} died while running the job"
CRASHED_ALONE: Final = CRASHED + ", alone"
CRASHES: Final = "{crash}; {crashes} such crashes in attempt {attempt} of {most}"


class Fate(StrEnum):
    """What becomes of a job whose lease has expired."""

    RESCUED = "rescued"
    DEAD = "dead"
    CANCELLED = "cancelled"
    UNDECIDED = "undecided"


class Effects(StrEnum):
    """What is known of the effects of a claim whose lease has expired."""

    UNKNOWN = ""
    NONE = "none"
    CASE = "case"


def is_expired(expires_at: int | None, claims: int, now: int) -> bool:
    """Return whether a queued job may no longer run: its time has passed, and it was never claimed."""
    return claims == 0 and expires_at is not None and expires_at <= now


def is_exhausted(*, alone: bool, crashes: int, attempt: int, most: int) -> bool:
    """Return whether a crash was the last: only those in the suspect lane (`alone`) count."""
    return alone and (crashes >= MAX_CRASHES or attempt >= most)


def fate_of(*, exhausted: bool, requested: bool, effects: Effects) -> Fate:
    """Return the fate of a job whose lease has expired.

    `requested`: an operator wants it cancelled, and its record names no case.
    """
    if exhausted:
        return Fate.DEAD
    if not requested or effects is Effects.CASE:
        return Fate.RESCUED
    return Fate.CANCELLED if effects is Effects.NONE else Fate.UNDECIDED


def effects_of(known: KnownEffects) -> Effects:
    """Return the known effects of a claim."""
    return Effects.CASE if known.has_case else Effects.NONE


def crash_text(worker: str, *, alone: bool) -> str:
    """Return how a job's worker died."""
    return (CRASHED_ALONE if alone else CRASHED).format(worker=worker)
