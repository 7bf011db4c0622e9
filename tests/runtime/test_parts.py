"""The small parts: one loop's manners, natural batches, and the one decision."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import (
    ActionDenied,
    ActionHeld,
    BrokerUnavailable,
    DuplicateCase,
    ValidationFailed,
)
from hms_svc.domain.job import ClaimedJob, LeaseToken, make_job
from hms_svc.domain.lifecycle import TRANSITIONS, State
from hms_svc.domain.outcome import Cancel, DeadLetter, Failure, RetryLater, Snooze
from hms_svc.runtime.decide import (
    CancelRequested,
    Finished,
    HeldAttempt,
    Outcome,
    PayloadRefused,
    RaisedError,
    RejectedAttempt,
    Stopped,
    TimedOut,
    Unreachable,
    decide,
)
from hms_svc.runtime.loop import Service
from hms_svc.sdk.batcher import Batcher
from tests.support.waiting import until

NOW = 1_800_000_000_000


class Rounds(Service):
    """Raises what it is given, round after round, and then does nothing."""

    def __init__(self, *errors: Exception, interval_seconds: float = 60.0) -> None:
        super().__init__(interval_seconds)
        self.errors = list(errors)
        self.rounds = 0

    async def run_once(self) -> None:
        self.rounds += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.mark.parametrize("error", [KeyError("bug"), BrokerUnavailable("gone")])
async def test_no_error_ends_a_loop(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds(error)
    task = asyncio.create_task(rounds.run())
    await until("it goes on", lambda: rounds.rounds == 2)
    rounds.stop()
    await task
    assert any("works again" in line for line in caplog.messages) or caplog.records


async def test_an_outage_is_logged_once_while_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds(*(BrokerUnavailable("gone") for _ in range(3)))
    task = asyncio.create_task(rounds.run())
    await until("it is over", lambda: rounds.rounds == 4)
    rounds.stop()
    await task
    assert sum("gone" in line for line in caplog.messages) == 1


async def test_a_woken_loop_does_not_wait_for_its_interval() -> None:
    rounds = Rounds()
    task = asyncio.create_task(rounds.run())
    await until("the first round", lambda: rounds.rounds == 1)
    rounds.wake()
    await until("the second round", lambda: rounds.rounds == 2)
    rounds.stop()
    await task


async def test_what_one_turn_asks_leaves_in_one_batch() -> None:
    batches: list[int] = []

    async def answer(questions: Sequence[int]) -> list[int]:
        batches.append(len(questions))
        return [2 * question for question in questions]

    batcher = Batcher(answer)
    assert await asyncio.gather(*(batcher.ask(n) for n in range(50))) == [*range(0, 100, 2)]
    assert batches == [50]


async def test_what_is_asked_meanwhile_leaves_with_the_next_batch() -> None:
    batches: list[list[str]] = []
    go_on = asyncio.Event()

    async def answer(questions: Sequence[str]) -> Sequence[str]:
        batches.append(list(questions))
        await go_on.wait()
        return questions

    batcher = Batcher(answer, limit=2)
    first = batcher.ask("a")
    await until("the first batch leaves", lambda: batches)
    rest = [batcher.ask(name) for name in "bcd"]
    go_on.set()
    assert await asyncio.gather(first, *rest) == ["a", "b", "c", "d"]
    assert batches == [["a"], ["b", "c"], ["d"]]


async def test_one_who_leaves_takes_nobodys_answer_along() -> None:
    go_on = asyncio.Event()

    async def answer(questions: Sequence[int]) -> Sequence[int]:
        await go_on.wait()
        return questions

    batcher = Batcher(answer)
    asking = [batcher.ask(n) for n in range(3)]
    await asyncio.sleep(0)
    asking[1].cancel()
    go_on.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert (answers[0], answers[2]) == (0, 2)
    assert isinstance(answers[1], asyncio.CancelledError)


async def test_an_outage_reaches_everyone_in_the_batch() -> None:
    async def answer(questions: Sequence[int]) -> Sequence[int]:
        raise BrokerUnavailable("gone")

    batcher = Batcher(answer)
    answers = await asyncio.gather(*(batcher.ask(n) for n in range(3)), return_exceptions=True)
    assert [type(error) for error in answers] == [BrokerUnavailable] * 3


def claimed(attempt: int = 1, give_backs: int = 0) -> ClaimedJob:
    return ClaimedJob(
        job=make_job("test.job", {}, now_ms=NOW),
        token=LeaseToken("id", 1),
        attempt=attempt,
        claims=attempt,
        max_attempts=3,
        give_backs=give_backs,
        claimed_at=NOW,
        lease_until=0,
    )


BROKE = RaisedError(Failure("KeyError", "'lat'"), "handler", KeyError("lat"))
TABLE: list[tuple[Outcome, int, State, str, str]] = [
    (Finished(b"1"), 1, State.COMPLETED, "", ""),
    (PayloadRefused("Model", "lat: no"), 1, State.REJECTED, "payload", "Model"),
    (
        RejectedAttempt(ValidationFailed("no"), "identity"),
        1,
        State.REJECTED,
        "identity",
        "identity",
    ),
    (RejectedAttempt(ValidationFailed("no", validator="own"), "x"), 1, State.REJECTED, "own", "x"),
    (
        RejectedAttempt(DuplicateCase("no", case_id="c"), "handler"),
        1,
        State.REJECTED,
        "duplicate",
        "handler",
    ),
    (
        RejectedAttempt(ActionDenied("no", action="a", rule="r-1"), "r-1"),
        1,
        State.REJECTED,
        "governance",
        "r-1",
    ),
    (
        HeldAttempt(ActionHeld("wait", action="a", rule="r-2", digest="d")),
        1,
        State.HELD,
        "governance",
        "r-2",
    ),
    (BROKE, 1, State.RETRYING, "error", "handler"),
    (BROKE, 3, State.DEAD, "error", "handler"),
    (TimedOut(5), 2, State.RETRYING, "timeout", "runtime"),
    (TimedOut(5), 3, State.DEAD, "timeout", "runtime"),
    (RetryLater(5.0), 1, State.RETRYING, "error", "handler"),
    (RetryLater(), 3, State.DEAD, "error", "handler"),
    (Snooze(5.0), 3, State.SCHEDULED, "", ""),
    (Cancel("why"), 1, State.CANCELLED, "cancelled", "handler"),
    (CancelRequested("ravi", "why"), 1, State.CANCELLED, "cancelled", "ravi"),
    (DeadLetter("why"), 1, State.DEAD, "error", "handler"),
    (Unreachable(BrokerUnavailable("gone")), 3, State.SCHEDULED, "", ""),
    (Stopped(), 3, State.QUEUED, "", ""),
]


@pytest.mark.parametrize(("outcome", "attempt", "state", "reason", "by"), TABLE)
def test_what_becomes_of_a_run(
    outcome: Outcome, attempt: int, state: State, reason: str, by: str
) -> None:
    found = decide(outcome, claimed(attempt), RetryPolicy(3), 0.5, NOW)
    assert (found.state, found.reason, found.by) == (state, reason, by)
    assert found.state in TRANSITIONS[State.PROCESSING]
    assert found.delay_ms == 0 or state in (State.RETRYING, State.SCHEDULED)


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(0.0, 0, 1), (30.0, 30, 33), (10**9, 3600, 3960)]
)
def test_a_retry_waits_as_long_as_was_asked_for(asked: float, least: int, most: int) -> None:
    broke = RaisedError(Failure("DeliveryFailed", "503"), "handler", OSError("503"), asked)
    for share in (0.0, 0.5, 0.99):
        delay = (
            decide(broke, claimed(1), RetryPolicy(3, base_seconds=1), share, NOW).delay_ms / 1000
        )
        assert least <= delay <= most
    assert decide(broke, claimed(3), RetryPolicy(3), 0.5, NOW).state is State.DEAD


@pytest.mark.parametrize(
    ("attempt", "give_backs", "state"),
    [(3, 9, State.QUEUED), (2, 10, State.QUEUED), (3, 10, State.DEAD), (4, 10, State.DEAD)],
)
def test_a_worker_that_stops_too_often_is_a_failure_at_the_cap(
    attempt: int, give_backs: int, state: State
) -> None:
    found = decide(Stopped(), claimed(attempt, give_backs), RetryPolicy(3), 0.5, NOW)
    assert found.state is state
    if state is State.DEAD:
        assert (found.reason, found.by, found.give_back) == ("error", "runtime", False)
        assert "the worker stopped" in found.detail


@pytest.mark.parametrize(
    ("outcome", "due_in_ms"),
    [
        (BROKE, 1000),
        (RetryLater(7.0), 7000),
        (Snooze(9.0), 9000),
        (Unreachable(BrokerUnavailable("gone")), 5000),
    ],
)
def test_when_it_runs_again(outcome: Outcome, due_in_ms: int) -> None:
    found = decide(outcome, claimed(), RetryPolicy(3, base_seconds=2.0), 0.5, NOW)
    assert found.delay_ms == due_in_ms


@pytest.mark.parametrize(
    ("outcome", "give_backs", "given", "counted"),
    [
        (Stopped(), 9, True, True),
        (Stopped(), 10, False, False),
        (Snooze(1), 10, True, False),
        (Unreachable(BrokerUnavailable("gone")), 10, True, False),
        (BROKE, 0, False, False),
    ],
)
def test_who_gets_the_attempt_back(
    outcome: Outcome, give_backs: int, given: bool, counted: bool
) -> None:
    found = decide(outcome, claimed(give_backs=give_backs), RetryPolicy(3), 0.5, NOW)
    assert (found.give_back, found.counted_give_back) == (given, counted)
