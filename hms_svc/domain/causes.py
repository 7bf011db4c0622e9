"""Why jobs fail, are dead or rejected, normalised so that ten thousand failures of one bug share one cause."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

from hms_svc.domain.lifecycle import (
    REASON_CRASHED,
    REASON_EXPIRED,
    REASON_ID_CONFLICT,
    REASON_LOST,
    REASON_NO_HANDLER,
    REASON_PAYLOAD,
    State,
)

MOST_CAUSES: Final = 1000
"""Causes that a broker keeps apart; a further one is counted in `other_causes` of its type."""
MOST_HISTORIES: Final = 1000
"""Groups of retrying jobs whose history a broker keeps; beyond that, the least recently failed group loses its history."""
OTHER_CAUSES: Final = "(other causes)"
FAILED: Final = frozenset({State.REJECTED, State.DEAD})
GROUPED: Final = FAILED | {State.RETRYING}
"""States in which a job belongs to a failure group: a retrying one to that of its last failure."""
CAUSE_ID: Final = re.compile(r"[0-9a-f]{12}")
_MOST_READ: Final = 1000
_MOST_KEPT: Final = 200
_SHOWN_AT_MOST: Final = frozenset(
    {REASON_EXPIRED, REASON_NO_HANDLER, REASON_LOST, REASON_CRASHED, REASON_ID_CONFLICT}
)
"""Reasons whose text is specific to one job."""
_VARIABLE: Final = re.compile(
    r"""
    (?P<text>
        "[^"]*" | (?<!\w)'[^']*'(?!\w) | `[^`]*`
      | \b[A-Za-z][A-Za-z0-9+.-]{0,20}://\S+            # an address
      | [\w.+-]{1,64}@[\w.-]+                           # an e-mail
      | (?<![\w./~])[~.]{0,2}(?:/[\w.+@%=-]+)+/?        # a path
      | \b[A-Za-z]:\\\S+
    )
    | \b\d{4}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?(?![\w-])
    | (?<![\w-])case-[\w-]+
    | (?<![\w-])(?!(?i:utf-\d+)\b)[\w-]*\d[\w-]*(?:[.,:]\d[\w-]*)*  # a number, or an id: a word with a digit
    | (?<![\w-])[0-9A-Fa-f]{8,}(?![\w-])
    """,
    re.VERBOSE,
)
_LIST: Final = re.compile(r"([#…])(?:,\s?[#…])+")


class FailureCause(msgspec.Struct, frozen=True, kw_only=True):
    """One cause: `error` is the error's class if there was one, else `by` names what ended the job."""

    state: State
    type: str
    reason: str
    by: str = ""
    error: str = ""
    pattern: str = ""

    @property
    def id(self) -> str:
        """The same 12 hex digits for the same cause, on every machine (the scripts' `cause_of`)."""
        parts = (self.state.value, self.type, self.reason, self.error or self.by, self.pattern)
        name = "\n".join(parts).encode("utf-8", "replace")
        return hashlib.sha1(name, usedforsecurity=False).hexdigest()[:12]


def cause_of(
    state: State, type: str, *, reason: str, by: str, detail: str, failure: str
) -> FailureCause:
    """Return the cause of a dead, rejected or retrying job; `failure` is class and message of its last error."""
    if state is State.REJECTED:
        pattern = pattern_of(detail.partition(": ")[0]) if reason == REASON_PAYLOAD else ""
        return FailureCause(state=state, type=type, reason=reason, by=by, pattern=pattern)
    error, _, message = failure.partition(": ")
    pattern = "" if reason in _SHOWN_AT_MOST else pattern_of(message if failure else detail)
    return FailureCause(
        state=state,
        type=type,
        reason=reason,
        by="" if failure else by,
        error=error,
        pattern=pattern,
    )


def other_causes(state: State, type: str) -> FailureCause:
    """Return the cause that collects all those of a type for which there was no capacity."""
    return FailureCause(state=state, type=type, reason="", pattern=OTHER_CAUSES)


def pattern_of(message: str) -> str:
    """Return the first line of a message with its variable parts taken out, at most 200 characters.

    `#` replaces numbers, times and ids, `…` replaces quoted text, paths and addresses; one of
    them replaces a whole list. Time is linear in the message.
    """
    first = message.lstrip()[:_MOST_READ].partition("\n")[0]
    line = _VARIABLE.sub(lambda found: "…" if found["text"] else "#", first)
    return _LIST.sub(r"\1", " ".join(line.split()))[:_MOST_KEPT]
