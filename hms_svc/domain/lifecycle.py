"""The nine states of a job and the one table of its legal moves."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """The state of a job. The last four are terminal."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    HELD = "held"
    PROCESSING = "processing"
    RETRYING = "retrying"
    COMPLETED = "completed"
    REJECTED = "rejected"
    DEAD = "dead"
    CANCELLED = "cancelled"


class Cause(StrEnum):
    """Why a job moved from one state to another; kept in its history."""

    ENQUEUED = "enqueued"
    DUE = "due"
    CLAIMED = "claimed"
    FINISHED = "finished"
    FAILED = "failed"
    REFUSED = "refused"
    RELEASED = "released"
    RESCUED = "rescued"
    SNOOZED = "snoozed"
    EXPIRED = "expired"
    UNSERVED = "unserved"
    OPERATOR = "operator"
    UNDONE = "undone"


TERMINAL: Final = frozenset({State.COMPLETED, State.REJECTED, State.DEAD, State.CANCELLED})
WAITING: Final = frozenset({State.SCHEDULED, State.QUEUED, State.HELD, State.RETRYING})
DELAYED: Final = frozenset({State.SCHEDULED, State.RETRYING})
"""States that wait for a time."""
ENDS_WITHOUT_EFFECTS: Final = frozenset({State.REJECTED, State.CANCELLED})
"""Ends that a job with a case does not have: it becomes dead instead, for the same reason."""

REASON_PAYLOAD: Final = "payload"
REASON_GOVERNANCE: Final = "governance"
REASON_UNIQUE: Final = "unique"
REASON_ERROR: Final = "error"
REASON_TIMEOUT: Final = "timeout"
REASON_CRASHED: Final = "crashed"
REASON_MALFORMED: Final = "malformed"
REASON_NO_HANDLER: Final = "no_handler"
REASON_EXPIRED: Final = "expired"
REASON_ID_CONFLICT: Final = "id_conflict"
REASON_LOST: Final = "lost"
REASON_CANCELLED: Final = "cancelled"

_S = State
MOVES: Final[dict[State | None, dict[State, frozenset[Cause]]]] = {
    None: {
        _S.QUEUED: frozenset({Cause.ENQUEUED}),
        _S.SCHEDULED: frozenset({Cause.ENQUEUED}),
        _S.REJECTED: frozenset({Cause.REFUSED}),
        _S.DEAD: frozenset({Cause.REFUSED}),
    },
    _S.SCHEDULED: {
        _S.QUEUED: frozenset({Cause.DUE, Cause.OPERATOR}),
        _S.CANCELLED: frozenset({Cause.OPERATOR}),
        _S.DEAD: frozenset({Cause.EXPIRED, Cause.OPERATOR}),
    },
    _S.QUEUED: {
        _S.PROCESSING: frozenset({Cause.CLAIMED}),
        _S.CANCELLED: frozenset({Cause.OPERATOR, Cause.UNDONE}),
        _S.DEAD: frozenset({Cause.EXPIRED, Cause.UNSERVED, Cause.OPERATOR, Cause.UNDONE}),
        _S.REJECTED: frozenset({Cause.UNDONE}),
        _S.SCHEDULED: frozenset({Cause.UNDONE}),
        _S.RETRYING: frozenset({Cause.UNDONE}),
    },
    _S.HELD: {
        _S.QUEUED: frozenset({Cause.OPERATOR}),
        _S.REJECTED: frozenset({Cause.OPERATOR}),
        _S.CANCELLED: frozenset({Cause.OPERATOR}),
        _S.DEAD: frozenset({Cause.OPERATOR}),
    },
    _S.PROCESSING: {
        _S.COMPLETED: frozenset({Cause.FINISHED}),
        _S.REJECTED: frozenset({Cause.REFUSED}),
        _S.HELD: frozenset({Cause.REFUSED}),
        _S.RETRYING: frozenset({Cause.FAILED}),
        _S.DEAD: frozenset(
            {Cause.FAILED, Cause.RESCUED, Cause.REFUSED, Cause.FINISHED, Cause.OPERATOR}
        ),
        _S.SCHEDULED: frozenset({Cause.SNOOZED, Cause.RELEASED}),
        _S.QUEUED: frozenset({Cause.RELEASED, Cause.RESCUED}),
        _S.CANCELLED: frozenset({Cause.OPERATOR, Cause.FINISHED}),
    },
    _S.RETRYING: {
        _S.QUEUED: frozenset({Cause.DUE, Cause.OPERATOR}),
        _S.CANCELLED: frozenset({Cause.OPERATOR}),
        _S.DEAD: frozenset({Cause.OPERATOR}),
    },
    _S.COMPLETED: {},
    _S.REJECTED: {
        _S.QUEUED: frozenset({Cause.OPERATOR}),
        _S.HELD: frozenset({Cause.UNDONE}),
    },
    _S.DEAD: {
        _S.QUEUED: frozenset({Cause.OPERATOR, Cause.UNDONE}),
        _S.SCHEDULED: frozenset({Cause.UNDONE}),
        _S.RETRYING: frozenset({Cause.UNDONE}),
        _S.HELD: frozenset({Cause.UNDONE}),
    },
    _S.CANCELLED: {
        _S.QUEUED: frozenset({Cause.OPERATOR, Cause.UNDONE}),
        _S.SCHEDULED: frozenset({Cause.UNDONE}),
        _S.RETRYING: frozenset({Cause.UNDONE}),
        _S.HELD: frozenset({Cause.UNDONE}),
    },
}
"""From each state (None: not yet accepted) to the states it may reach, and by which causes."""


BESIDE_CASE: Final = "{case} remains open"


def beside_case(detail: str, case_id: str) -> str:
    """Return the detail of an end that leaves an open case behind, with the case named."""
    remains = BESIDE_CASE.format(case=case_id)
    return f"{detail}; {remains}" if detail else remains


def may_move(source: State | None, target: State) -> bool:
    """Return whether a job may go from `source` (None: not yet accepted) to `target`."""
    return target in MOVES[source]
