"""The history of a job: one JSON line for each attempt and for each other state change."""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.domain.lifecycle import TERMINAL, TRANSITIONS, State, Trigger
from hms_svc.domain.outcome import Failure
from hms_svc.domain.views import AttemptView, JobView, Transition

_MAX_TRACEBACK: Final = 16 * 1024


class Step(msgspec.Struct, omit_defaults=True, gc=False):
    """One line. An attempt has `started` and represents two state changes: claimed and ended."""

    at: int
    target: State
    # Stored lines, and the scripts that write them, have the older name of the field.
    trigger: Trigger = msgspec.field(name="cause")
    source: State | None = None
    detail: str = ""
    started: int = 0
    attempt: int = 0
    fence: int = 0
    worker: str = ""
    error: str = ""
    traceback: str = ""
    log: str = ""


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Step).decode


def line(step: Step) -> str:
    """Return the line of one step."""
    return _encode(step).decode() + "\n"


def failure_text(failure: Failure | None) -> str:
    """Return class and message of a failure in one line, empty for None."""
    return f"{failure.kind}: {failure.message}" if failure else ""


def shorten(traceback: str) -> str:
    """Return the end of a long traceback, which shows the cause of the error."""
    return traceback if len(traceback) <= _MAX_TRACEBACK else "…" + traceback[-_MAX_TRACEBACK:]


def read_history(text: str | None) -> list[Step]:
    """Return the steps of a history, oldest first."""
    return [_decode(row) for row in (text or "").split("\n") if row]


def erased_history(text: str | None) -> str:
    """Return a history with the same steps, without their texts and output."""
    return "".join(
        line(msgspec.structs.replace(step, detail="", error="", traceback="", log=""))
        for step in read_history(text)
    )


def attempts_of(steps: list[Step]) -> list[AttemptView]:
    """Return the attempts among the steps."""
    return [
        AttemptView(
            attempt=step.attempt,
            started_at=step.started,
            ended_at=step.at,
            worker=step.worker,
            fence=step.fence,
            error=step.error,
            traceback=step.traceback,
            log=step.log,
        )
        for step in steps
        if step.started
    ]


def history_of(view: JobView, steps: list[Step]) -> list[Transition]:
    """Return all state changes, oldest first.

    A step from a state to itself records that the job was hidden or shown again; it is left out.
    """
    history = [_first_transition(view, steps)]
    for step in steps:
        if step.started:
            history.append(_claimed(step.started, step.worker))
        if step.source is not step.target:
            source = State.PROCESSING if step.started else step.source
            history.append(
                Transition(
                    at=step.at,
                    source=source,
                    target=step.target,
                    trigger=step.trigger,
                    detail=step.detail,
                )
            )
    if view.state is State.PROCESSING and view.started_at:
        history.append(_claimed(view.started_at, view.worker))
    return history


def _claimed(at: int, worker: str) -> Transition:
    return Transition(
        at=at, source=State.QUEUED, target=State.PROCESSING, trigger=Trigger.CLAIMED, detail=worker
    )


def _first_transition(view: JobView, steps: list[Step]) -> Transition:
    """Return the job's first state: the source of its first step, or its current state."""
    began = steps[0].source if steps else view.state
    target = began if began in TRANSITIONS[None] else State.QUEUED
    trigger = Trigger.REFUSED if target in TERMINAL else Trigger.ENQUEUED
    return Transition(at=view.enqueued_at, source=None, target=target, trigger=trigger)
