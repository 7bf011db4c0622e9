"""Erasure: what remains of a job and of its events when a person's data is blanked."""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.domain.causes import cause_of
from hms_svc.domain.lifecycle import Trigger
from hms_svc.domain.strict_json import decode, encode
from hms_svc.domain.views import AttemptView, JobDetail, JobView, Transition

ERASED: Final = b'{"erased":true}'
"""What replaces erased data of a job, a case or a service's event."""
_STAYS_IN_ENVELOPE: Final = frozenset(
    {
        "id",
        "type",
        "enqueued_at",
        "not_before",
        "expires_at",
        "priority",
        "max_attempts",
        "retried_from",
        "version",
    }
)
_TEXT_FIELDS: Final = frozenset({"detail", "error"})


def erased_detail(detail: JobDetail) -> JobDetail:
    """Return a job without payload, result, bytes, texts and output: states, numbers and times remain."""
    given = decode(detail.envelope)
    envelope = {name: given[name] for name in given if name in _STAYS_IN_ENVELOPE}
    return msgspec.structs.replace(
        detail,
        view=_erased_view(detail.view),
        result=None,
        attempts=tuple(map(_erased_attempt, detail.attempts)),
        history=tuple(map(_erased_transition, detail.history)),
        progress=(),
        envelope=encode({**envelope, "data": msgspec.Raw(ERASED)}),
        hold=None,
        raw=None,
        raw_length=0,
        raw_digest="",
    )


def erased_text(data: bytes) -> bytes:
    """Return the data of a life-cycle event without its texts; the same bytes if it has none."""
    fields = decode(data)
    if _TEXT_FIELDS.isdisjoint(fields):
        return data
    return encode({name: fields[name] for name in fields if name not in _TEXT_FIELDS})


def _erased_view(view: JobView) -> JobView:
    cause = cause_of(view.state, view.type, reason=view.reason, by=view.by, detail="", failure="")
    return msgspec.structs.replace(
        view,
        data=ERASED,
        detail="",
        failure="",
        unique_key=None,
        cause=cause.id if view.cause else "",
    )


def _erased_attempt(attempt: AttemptView) -> AttemptView:
    return msgspec.structs.replace(attempt, error="", traceback="", log="")


def _erased_transition(transition: Transition) -> Transition:
    """Blank the text of a transition; that of a claim is the worker's name."""
    return (
        transition
        if transition.trigger == Trigger.CLAIMED
        else msgspec.structs.replace(transition, detail="")
    )
