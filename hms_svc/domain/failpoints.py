"""Named places at which a test can interrupt the program: by a kill, an outage, a lost reply.

Unless a failpoint is armed, a place costs one comparison:

    if failpoints.armed is not None:
        failpoints.reached("settle.before")

Only tests arm them; no setting does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PLACES: Final = frozenset(
    {
        "claim.replied",  # a claim was answered, and none of its jobs has begun
        "effect.before",  # a handler is about to commit an effect
        "effect.within",  # the effect is written, and its transaction is not committed
        "effect.after",  # the effect is committed, and the handler has not returned yet
        "settle.before",  # outcomes are collected, and not written
        "settle.after",  # outcomes are written, and the settler has not been informed yet
        "relay.published",  # rows of the outbox are delivered, and not marked
        "reaper.found",  # jobs whose lease has run out are found, and not requeued
        "act.intended",  # an operator's action is recorded, and nothing is done
        "act.done",  # it is done, and its outcome is not recorded
        "scheduler.enqueued",  # the broker has decided on schedules, and the scheduler has not recorded it
        "erase.halfway",  # a person is erased from the database, and not from the broker
        "http.accepted",  # jobs are accepted, and the answer has not been sent
    }
)
armed: dict[str, Callable[[], None]] | None = None


def arm(place: str, action: Callable[[], None]) -> None:
    """Run an action each time the program reaches a place. Raises ValueError for an unknown place."""
    global armed
    if place not in PLACES:
        raise ValueError(f"place {place!r} is none of {', '.join(sorted(PLACES))}")
    armed = {**(armed or {}), place: action}


def reached(place: str) -> None:
    """Run what is armed at a place."""
    if armed is not None and place in armed:
        armed[place]()
