"""The nine states of a job and the table of its legal transitions."""

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


class Trigger(StrEnum):
    """What triggered a transition; kept in the history of the job."""

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
    REPLACED = "replaced"


TERMINAL: Final = frozenset({State.COMPLETED, State.REJECTED, State.DEAD, State.CANCELLED})
WAITING: Final = frozenset({State.SCHEDULED, State.QUEUED, State.HELD, State.RETRYING})
DELAYED: Final = frozenset({State.SCHEDULED, State.RETRYING})
"""States that wait for a time."""
ENDS_WITHOUT_EFFECTS: Final = frozenset({State.REJECTED, State.CANCELLED})
"""Ends that a job with a case does not have: it becomes dead instead, for the same reason."""

REASON_PAYLOAD: Final = "payload"
REASON_UPGRADE: Final = "upgrade"
REASON_GOVERNANCE: Final = "governance"
REASON_UNIQUE: Final = "unique"
REASON_ERROR: Final = "error"
REASON_TIMEOUT: Final = "timeout"
REASON_GIVEN_UP: Final = "given_up"
REASON_CRASHED: Final = "crashed"
REASON_MALFORMED: Final = "malformed"
REASON_NO_HANDLER: Final = "no_handler"
REASON_EXPIRED: Final = "expired"
REASON_ID_CONFLICT: Final = "id_conflict"
REASON_LOST: Final = "lost"
REASON_CANCELLED: Final = "cancelled"
REASON_REPLACED: Final = "replaced"

_S = State
TRANSITIONS: Final[dict[State | None, dict[State, frozenset[Trigger]]]] = {
    None: {
        _S.QUEUED: frozenset({Trigger.ENQUEUED}),
        _S.SCHEDULED: frozenset({Trigger.ENQUEUED}),
        _S.REJECTED: frozenset({Trigger.REFUSED}),
        _S.DEAD: frozenset({Trigger.REFUSED}),
    },
    _S.SCHEDULED: {
        _S.QUEUED: frozenset({Trigger.DUE, Trigger.OPERATOR}),
        _S.CANCELLED: frozenset({Trigger.OPERATOR, Trigger.REPLACED}),
        _S.DEAD: frozenset({Trigger.EXPIRED, Trigger.OPERATOR}),
    },
    _S.QUEUED: {
        _S.PROCESSING: frozenset({Trigger.CLAIMED}),
        _S.CANCELLED: frozenset({Trigger.OPERATOR, Trigger.UNDONE, Trigger.REPLACED}),
        _S.DEAD: frozenset({Trigger.EXPIRED, Trigger.UNSERVED, Trigger.OPERATOR, Trigger.UNDONE}),
        _S.REJECTED: frozenset({Trigger.UNDONE}),
        _S.SCHEDULED: frozenset({Trigger.UNDONE}),
        _S.RETRYING: frozenset({Trigger.UNDONE}),
    },
    _S.HELD: {
        _S.QUEUED: frozenset({Trigger.OPERATOR}),
        _S.REJECTED: frozenset({Trigger.OPERATOR}),
        _S.CANCELLED: frozenset({Trigger.OPERATOR}),
        _S.DEAD: frozenset({Trigger.OPERATOR}),
    },
    _S.PROCESSING: {
        _S.COMPLETED: frozenset({Trigger.FINISHED}),
        _S.REJECTED: frozenset({Trigger.REFUSED}),
        _S.HELD: frozenset({Trigger.REFUSED}),
        _S.RETRYING: frozenset({Trigger.FAILED}),
        _S.DEAD: frozenset(
            {Trigger.FAILED, Trigger.RESCUED, Trigger.REFUSED, Trigger.FINISHED, Trigger.OPERATOR}
        ),
        _S.SCHEDULED: frozenset({Trigger.SNOOZED, Trigger.RELEASED}),
        _S.QUEUED: frozenset({Trigger.RELEASED, Trigger.RESCUED}),
        _S.CANCELLED: frozenset({Trigger.OPERATOR, Trigger.FINISHED}),
    },
    _S.RETRYING: {
        _S.QUEUED: frozenset({Trigger.DUE, Trigger.OPERATOR}),
        _S.CANCELLED: frozenset({Trigger.OPERATOR}),
        _S.DEAD: frozenset({Trigger.OPERATOR}),
    },
    _S.COMPLETED: {},
    _S.REJECTED: {
        _S.QUEUED: frozenset({Trigger.OPERATOR}),
        _S.HELD: frozenset({Trigger.UNDONE}),
    },
    _S.DEAD: {
        _S.QUEUED: frozenset({Trigger.OPERATOR, Trigger.UNDONE}),
        _S.SCHEDULED: frozenset({Trigger.UNDONE}),
        _S.RETRYING: frozenset({Trigger.UNDONE}),
        _S.HELD: frozenset({Trigger.UNDONE}),
    },
    _S.CANCELLED: {
        _S.QUEUED: frozenset({Trigger.OPERATOR, Trigger.UNDONE}),
        _S.SCHEDULED: frozenset({Trigger.UNDONE}),
        _S.RETRYING: frozenset({Trigger.UNDONE}),
        _S.HELD: frozenset({Trigger.UNDONE}),
    },
}
"""The legal transitions; the contract tests hold both brokers to it.

From each state (None: not yet accepted) to the states it may reach, each with its triggers.
"""


BESIDE_CASE: Final = "{case} remains"


def beside_case(detail: str, case_id: str) -> str:
    """Return the detail of an end that leaves a case or a committed transaction behind, with its id."""
    remains = BESIDE_CASE.format(case=case_id)
    return f"{detail}; {remains}" if detail else remains
