"""Payloads in one line, and what differs between those of jobs with the same cause."""

from __future__ import annotations

import msgspec
import pytest

from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.views import AttemptView, JobDetail, JobView, Transition
from hms_svc.tui.commands import Target
from hms_svc.tui.hints import hints
from hms_svc.tui.job_page import uncounted_reason
from hms_svc.tui.payload_summary import common_cause, common_entries, payload_summary
from hms_svc.tui.rows import job_rows

JOB = JobView(
    id="j1",
    type="a.job",
    state=State.DEAD,
    attempt=3,
    enqueued_at=0,
    reason="error",
    by="handler",
    detail="TypeError: no lamp",
    data=b'{"user": "u1", "lamp": "L-1", "began": 5}',
    cause="c1",
)
OTHER = msgspec.structs.replace(JOB, id="j2", data=b'{"user": "u2", "lamp": "L-1", "began": 5}')


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"lamp": "L-1", "n": 2, "deep": [1]}', "lamp: L-1, n: 2, deep: [1]"),
        (b"[1, 2]", "[1, 2]"),
        (b'{"lamp": ', '{"lamp": '),
        (b"\xff", "\ufffd"),
        (b'{"a": "' + b"x" * 5000 + b'"}', '{"a": "' + "x" * 293),
    ],
)
def test_a_payload_is_one_line(data: bytes, text: str) -> None:
    assert payload_summary(data) == text


def test_entries_that_all_jobs_share_are_left_out() -> None:
    shared = common_entries([JOB, OTHER])
    assert shared == {"lamp": "L-1", "began": 5}
    assert payload_summary(OTHER.data, shared) == "user: u2"
    assert common_entries([JOB]) == {}
    assert common_entries([JOB, msgspec.structs.replace(JOB, data=b"[")]) == {}


def test_a_cause_is_common_if_the_filter_names_one_or_all_jobs_have_it() -> None:
    assert common_cause([], ["c9"]) == "c9"
    assert common_cause([JOB, OTHER], []) == "c1"
    assert common_cause([JOB], []) == ""
    assert common_cause([JOB, msgspec.structs.replace(JOB, cause="c2")], ["c1", "c2"]) == ""


def test_a_row_shows_the_differences_instead_of_the_cause_of_the_list() -> None:
    found = [
        [part.text for part in row.cells[5:7]] for row in job_rows([JOB, OTHER], 0, cause="c1")
    ]
    assert found == [["user: u1", ""], ["user: u2", ""]]
    [row] = job_rows([JOB], 0)
    assert row.cells[5].text == "error: TypeError: no lamp"
    assert row.cells[6].text == "user: u1, lamp: L-1, began: 5"


def test_a_snoozed_job_shows_why_it_waits_and_a_queued_one_its_payload() -> None:
    text = "crew.example has not answered 5 times in a row; requests to it are paused"
    snoozed = msgspec.structs.replace(
        JOB, state=State.SCHEDULED, detail=text, due_at=19_000, cause="", reason=""
    )
    assert job_rows([snoozed], 0)[0].cells[5].text == f"due in 19s; {text}"
    queued = msgspec.structs.replace(JOB, state=State.QUEUED, detail="", cause="", reason="")
    assert job_rows([queued], 0)[0].cells[5].text.startswith("user: u1")


def test_the_hints_of_a_held_job_start_with_the_decisions() -> None:
    found = hints(
        Target(kind="job", ids=("j1",)), {State.HELD}, is_paused=False, first=(), panels=1
    )
    assert [line[1].text.strip() for line in found[:2]] == ["approve", "deny"]


def attempt(number: int, fence: int) -> AttemptView:
    return AttemptView(
        attempt=number, started_at=fence * 100, ended_at=fence * 100 + 50, worker="w", fence=fence
    )


def moved(fence: int, target: State, trigger: Trigger) -> Transition:
    return Transition(
        at=fence * 100 + 50, source=State.PROCESSING, target=target, trigger=trigger.value
    )


@pytest.mark.parametrize(
    ("used", "attempts", "history", "reasons"),
    [
        (1, [attempt(1, 1)], [moved(1, State.RETRYING, Trigger.FAILED)], [""]),
        (
            0,
            [attempt(1, 1)],
            [moved(1, State.SCHEDULED, Trigger.SNOOZED)],
            ["not counted: snoozed"],
        ),
        (0, [attempt(1, 1)], [moved(1, State.HELD, Trigger.OPERATOR)], ["not counted: held"]),
        (
            1,
            [attempt(1, 1), attempt(1, 2)],
            [moved(1, State.QUEUED, Trigger.RELEASED), moved(2, State.COMPLETED, Trigger.FINISHED)],
            ["not counted: released", ""],
        ),
        (
            0,
            [attempt(1, 1)],
            [moved(1, State.DEAD, Trigger.FAILED)],
            ["not counted: the job was retried by hand since"],
        ),
    ],
)
def test_an_uncounted_attempt_shows_why(
    used: int, attempts: list[AttemptView], history: list[Transition], reasons: list[str]
) -> None:
    detail = JobDetail(
        view=msgspec.structs.replace(JOB, attempt=used),
        result=None,
        attempts=tuple(attempts),
        history=tuple(history),
        progress=(),
        envelope=b"",
    )
    assert [uncounted_reason(detail, each) for each in attempts] == reasons
