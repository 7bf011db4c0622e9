"""The jobs of the city that the pictures show: in every state, as groups of failures and as results."""

from __future__ import annotations

from typing import Final

from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import (
    AttemptView,
    FailureGroup,
    JobDetail,
    JobView,
    ProgressView,
    Transition,
)
from hms_svc.tui.snapshot import Result

NOW: Final = 1_795_500_000_000
MINUTE: Final = 60_000


def job_id(number: int) -> str:
    return f"01a2{number:04x}-7ea0-77dc-81a4-77f7831603{number % 256:02x}"


def group(number: int, state: State, type: str, **fields: object) -> FailureGroup:
    known: dict[str, object] = {
        "reason": "error",
        "by": "",
        "error": "",
        "pattern": "",
        "count": 1,
        "first_at": NOW - 55 * MINUTE,
        "last_at": NOW - number * 9_000,
        "newest_detail": "",
        "newest_id": job_id(number),
        "recent": tuple((number * 5 + slot * 3) % 11 for slot in range(12)),
    }
    return FailureGroup(id=f"{number:012x}", state=state, type=type, **(known | fields))  # type: ignore[arg-type]  # fields of any name and type


FAILURES: Final = (
    group(
        1,
        State.REJECTED,
        "pothole.report",
        reason="duplicate",
        count=1_604,
        newest_detail="open case case-5b1e is 3.1 m away",
    ),
    group(
        2,
        State.REJECTED,
        "pothole.report",
        reason="identity",
        count=212,
        newest_detail="user_id 'troll' is not usr- followed by 1 to 32 letters or digits",
    ),
    group(
        3,
        State.REJECTED,
        "pothole.report",
        reason="payload",
        count=97,
        newest_detail="data.lat: Input should be less than or equal to 90 (given 123)",
    ),
    group(
        4,
        State.REJECTED,
        "pothole.report",
        reason="governance",
        by="photo-from-nowhere",
        count=19,
        newest_detail="a photo must be in the city's store",
    ),
    group(
        5,
        State.DEAD,
        "crew.notify",
        error="WebhookFailed",
        count=6,
        pattern="crew.example answered <number>",
        newest_detail="crew.example answered 503",
    ),
    group(
        6,
        State.DEAD,
        "pothole.report",
        error="ZeroDivisionError",
        count=3,
        pattern="division by zero",
        newest_detail="division by zero",
    ),
    group(
        9,
        State.RETRYING,
        "crew.notify",
        error="WebhookFailed",
        count=20,
        pattern="crew.example answered #",
        newest_detail="WebhookFailed: crew.example answered 503",
        next_at=NOW + 27_000,
    ),
    group(7, State.DEAD, "crew.notify", reason="timeout", count=1, newest_detail="after 300 s"),
    group(
        8,
        State.DEAD,
        "pothole.report",
        reason="malformed",
        count=1,
        newest_detail="not JSON: unexpected end of data",
    ),
)


def result(number: int, state: State, type: str, **fields: object) -> Result:
    known: dict[str, object] = {"duration_ms": 3 + number * 7 % 90}
    return Result(
        key=f"event-{number}",
        at=NOW - number * 700,
        job_id=job_id(100 + number),
        type=type,
        state=state,
        **(known | fields),  # type: ignore[arg-type]  # fields of any name and type
    )


RESULTS: Final = tuple(
    each
    for turn in range(9)
    for each in (
        result(
            turn * 4, State.COMPLETED, "pothole.report", case_id=f"case-{turn:08x}-5966-5a63-aa83"
        ),
        result(
            turn * 4 + 1,
            State.REJECTED,
            "pothole.report",
            reason="duplicate",
            detail=f"open case case-{turn:08x}-5966-5a63-aa83 is {turn}.4 m away",
        ),
        result(turn * 4 + 2, State.COMPLETED, "crew.notify"),
        result(
            turn * 4 + 3,
            State.DEAD if turn % 4 == 0 else State.COMPLETED,
            "crew.notify" if turn % 4 == 0 else "analysis.run",
            reason="error" * (turn % 4 == 0),
            detail="crew.example answered 503" * (turn % 4 == 0),
        ),
    )
)


def view(number: int, state: State, type: str = "pothole.report", **fields: object) -> JobView:
    known: dict[str, object] = {
        "attempt": 1,
        "enqueued_at": NOW - number * 31_000,
        "reason": "",
        "by": "",
        "detail": "",
        "data": b'{"user_id":"usr-9","lat":38.9,"lon":-77.03}',
        "max_attempts": 5,
    }
    return JobView(id=job_id(number), type=type, state=state, **(known | fields))  # type: ignore[arg-type]  # fields of any name and type


JOBS: Final = (
    view(10, State.QUEUED),
    view(
        11,
        State.HELD,
        reason="governance",
        by="road-closure",
        detail="closing a road needs the mayor's office",
    ),
    view(
        1, State.PROCESSING, "analysis.run", started_at=NOW - 8_000, worker="factory-1-4121-9f2c1b"
    ),
    view(
        12,
        State.RETRYING,
        "crew.notify",
        attempt=3,
        due_at=NOW + 40_000,
        failure="WebhookFailed: crew.example answered 503",
    ),
    view(13, State.SCHEDULED, "analysis.run", due_at=NOW + 3_600_000),
    view(14, State.COMPLETED, case_id="case-00000003-5966-5a63-aa83", finished_at=NOW - 4_000),
    view(15, State.REJECTED, reason="duplicate", detail="open case case-5b1e is 3.1 m away"),
    view(
        16,
        State.DEAD,
        "crew.notify",
        attempt=5,
        reason="error",
        cause=f"{5:012x}",
        detail="crew.example answered 503",
        failure="WebhookFailed: crew.example answered 503",
    ),
    view(17, State.CANCELLED, by="ann", reason="cancelled", detail="reported by mistake"),
)


DEAD_JOB: Final = JobDetail(
    view=JOBS[7],
    result=None,
    attempts=(
        AttemptView(
            attempt=5,
            started_at=NOW - 60_000,
            ended_at=NOW - 59_600,
            worker="factory-1-4121-9f2c1b",
            fence=812,
            error="WebhookFailed: crew.example answered 503",
            traceback='Traceback (most recent call last):\n  File "city.py", line 12, in notify\n'
            "WebhookFailed: crew.example answered 503",
            log="calling crew.example\n",
        ),
    ),
    history=(
        Transition(at=NOW - 496_000, source=None, target=State.QUEUED, trigger="enqueued"),
        Transition(
            at=NOW - 60_000, source=State.QUEUED, target=State.PROCESSING, trigger="claimed"
        ),
        Transition(
            at=NOW - 59_600,
            source=State.PROCESSING,
            target=State.DEAD,
            trigger="failed",
            detail="crew.example answered 503",
        ),
    ),
    progress=(),
    envelope=b"{}",
    retried_from=job_id(9),
)


RUNNING: Final = JobDetail(
    view=JOBS[2],
    result=None,
    attempts=(),
    history=(),
    envelope=b"{}",
    progress=(ProgressView(number=1, at=NOW - 900, share=0.62, message="ward 5 of 8"),),
)
