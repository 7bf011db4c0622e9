"""What becomes of a failed attempt by its policy: classes of error, time for the run, own backoff."""

from __future__ import annotations

from typing import Any

import pytest

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.job import ClaimedJob, LeaseToken, make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Disposition, Failure, RetryLater, Snooze
from hms_svc.domain.views import AttemptView
from hms_svc.runtime.decide import Outcome, RaisedError, StillRunning, TimedOut, Unreachable, decide
from hms_svc.runtime.run_beginnings import run_began_at

NOW = 1_800_000_000_000
BEGAN = NOW - 100_000
"""The run began 100 s before its attempt ended."""


class Refused(Exception):
    """What a payment service says."""


class ExpiredCard(Refused):
    """A more specific one."""


def claimed(attempt: int = 2, give_backs: int = 0) -> ClaimedJob:
    return ClaimedJob(
        job=make_job("fee.charge", {}, now_ms=NOW),
        token=LeaseToken("id", 1),
        attempt=attempt,
        claims=attempt,
        max_attempts=8,
        give_backs=give_backs,
        claimed_at=NOW,
        lease_until=0,
        run_began_at=BEGAN if attempt > 1 else None,
    )


def after(error: BaseException, policy: RetryPolicy, attempt: int = 2) -> Disposition:
    raised = RaisedError(Failure(type(error).__name__, str(error)), "charge", error)
    return decide(raised, claimed(attempt), policy, 0.5, NOW)


@pytest.mark.parametrize(
    ("policy", "error", "why"),
    [
        (RetryPolicy(8), Refused("no"), ""),
        (RetryPolicy(8, give_up_on=(Refused,)), Refused("no"), "give_up_on has Refused"),
        (RetryPolicy(8, give_up_on=(Refused,)), ExpiredCard("no"), "give_up_on has Refused"),
        (RetryPolicy(8, give_up_on=(ExpiredCard,)), Refused("no"), ""),
        (RetryPolicy(8, retry_on=(OSError,)), ConnectionError("no"), ""),
        (RetryPolicy(8, retry_on=(OSError,)), Refused("no"), "retry_on does not have Refused"),
        (RetryPolicy(8, give_up_on=(Refused,), retry_on=(ExpiredCard,)), ExpiredCard("no"), ""),
        (
            RetryPolicy(8, give_up_on=(ExpiredCard,), retry_on=(Refused,)),
            ExpiredCard("no"),
            "give_up_on has ExpiredCard",
        ),
        (RetryPolicy(8, give_up_on=(ExpiredCard,), retry_on=(Refused,)), Refused("no"), ""),
        (
            RetryPolicy(8, give_up_on=(ExpiredCard,), retry_on=(Refused,)),
            KeyError("no"),
            "retry_on does not have KeyError",
        ),
    ],
)
def test_the_most_specific_class_decides(policy: RetryPolicy, error: Exception, why: str) -> None:
    done = after(error, policy)
    if not why:
        assert (done.state, done.reason) == (State.RETRYING, "error")
        return
    assert (done.state, done.reason, done.by) == (State.DEAD, "given_up", "charge")
    assert done.detail == f"{type(error).__name__}: {error} (attempt 2 of 8; {why})"
    assert done.failure == Failure(type(error).__name__, str(error))


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (TimedOut(5), State.RETRYING),
        (RetryLater(), State.RETRYING),
        (Snooze(5), State.SCHEDULED),
        (Unreachable(BrokerUnavailable("gone")), State.SCHEDULED),
        (StillRunning(), State.SCHEDULED),
    ],
)
def test_classes_decide_on_raised_errors_only(outcome: Outcome, state: State) -> None:
    policy = RetryPolicy(8, give_up_on=(Exception,))
    assert decide(outcome, claimed(), policy, 0.5, NOW).state is state


@pytest.mark.parametrize(
    ("outcome", "delay"),
    [
        (RaisedError(Failure("Refused", "no"), "charge", Refused("no")), 20.0),
        (TimedOut(5), 20.0),
        (RetryLater(), 20.0),
        (RetryLater(20.0), 20.0),
        (RaisedError(Failure("Refused", "no"), "charge", Refused("no"), 18.0), 20.0),
    ],
)
def test_a_run_whose_next_attempt_would_begin_too_late_ends(outcome: Outcome, delay: float) -> None:
    policy = RetryPolicy(8, backoff=(1.0, delay), within_seconds=120)
    assert decide(outcome, claimed(), policy, 0.5, NOW).state is State.RETRYING
    done = decide(outcome, claimed(), policy, 0.5, NOW + 1000)
    assert (done.state, done.reason) == (State.DEAD, "given_up")
    why = "the next attempt would begin 121 s after the first, within_seconds is 120"
    assert done.detail.endswith(f" (attempt 2 of 8; {why})")
    assert done.failure is not None


def test_the_minimum_delay_that_an_error_asks_for_counts_too() -> None:
    error = ConnectionError("busy")
    asked = RaisedError(Failure("ConnectionError", "busy"), "charge", error, 30.0)
    policy = RetryPolicy(8, backoff=(0,), within_seconds=120)
    assert decide(asked, claimed(), policy, 0.0, NOW).reason == "given_up"
    assert decide(asked, claimed(1), policy, 0.0, NOW).delay_ms == 30_000


@pytest.mark.parametrize(
    "outcome",
    [Snooze(500), Unreachable(BrokerUnavailable("gone")), StillRunning()],
)
def test_what_is_no_failure_does_not_end_a_run_that_is_over_its_time(outcome: Outcome) -> None:
    policy = RetryPolicy(8, within_seconds=1)
    assert decide(outcome, claimed(), policy, 0.5, NOW).state is State.SCHEDULED


def test_the_time_of_a_run_begins_with_its_first_attempt() -> None:
    policy = RetryPolicy(8, backoff=(5,), within_seconds=10)
    assert after(Refused("no"), policy, attempt=1).state is State.RETRYING


def own_delay(attempt: int, error: BaseException) -> float:
    return attempt * (100 if isinstance(error, Refused) else 7)


@pytest.mark.parametrize(
    ("outcome", "ms"),
    [
        (RaisedError(Failure("Refused", "no"), "charge", ExpiredCard("no")), 200_000),
        (TimedOut(5), 14_000),
        (RetryLater(), 14_000),
        (RetryLater(3.0), 3_000),
    ],
)
def test_an_own_function_makes_the_delay(outcome: Outcome, ms: int) -> None:
    policy = RetryPolicy(8, base_seconds=1, cap_seconds=1, backoff=own_delay)
    assert decide(outcome, claimed(), policy, 0.5, NOW).delay_ms == ms


@pytest.mark.parametrize(("attempt", "ms"), [(1, 1_000), (2, 10_000), (3, 60_000), (7, 60_000)])
def test_of_a_sequence_the_last_delay_repeats(attempt: int, ms: int) -> None:
    assert after(Refused("no"), RetryPolicy(8, backoff=(1, 10, 60)), attempt).delay_ms == ms


def test_an_own_backoff_is_given_the_kind_of_failure_it_is_for() -> None:
    seen: list[tuple[int, str, str]] = []

    def note(attempt: int, error: BaseException) -> float:
        seen.append((attempt, type(error).__name__, str(error)))
        return 0

    policy = RetryPolicy(8, backoff=note)
    after(Refused("no"), policy)
    decide(TimedOut(5), claimed(3), policy, 0.5, NOW)
    decide(RetryLater(None, "later"), claimed(4), policy, 0.5, NOW)
    decide(RetryLater(1.0), claimed(5), policy, 0.5, NOW)
    after(Refused("last"), policy, attempt=8)
    kinds = [(2, "Refused"), (3, "TimeoutError"), (4, "RetryLater")]
    assert [entry[:2] for entry in seen] == kinds


def raises(attempt: int, error: BaseException) -> float:
    raise KeyError("delays")


def leaves(attempt: int, error: BaseException) -> float:
    raise SystemExit(1)


@pytest.mark.parametrize(
    ("backoff", "words"),
    [
        (raises, "raised KeyError: 'delays'"),
        (leaves, "raised SystemExit: 1"),
        (lambda attempt, error: -1, "returned -1, not a number of seconds, 0 to 315360000"),
        (lambda attempt, error: True, "returned True, not a number"),
        (lambda attempt, error: float("nan"), "returned nan, not a number"),
        (lambda attempt, error: float("inf"), "returned inf, not a number"),
        (lambda attempt, error: "5", "returned '5', not a number"),
        (lambda attempt, error: None, "returned None, not a number"),
    ],
)
def test_a_wrong_backoff_is_named_and_the_usual_delay_is_taken(backoff: Any, words: str) -> None:
    done = after(Refused("no"), RetryPolicy(8, base_seconds=4, backoff=backoff))
    assert (done.state, done.delay_ms) == (State.RETRYING, 4_000)
    assert done.detail.startswith("Refused: no (backoff ")
    assert "(tests/unit/test_retry_decisions.py:" in done.detail
    assert words in done.detail
    assert done.failure is not None
    assert words in done.failure.message


def attempt(number: int, started_at: int) -> AttemptView:
    return AttemptView(
        attempt=number, started_at=started_at, ended_at=started_at + 1, worker="w", fence=1
    )


@pytest.mark.parametrize(
    ("attempts", "began"),
    [
        ([], None),
        ([(1, 10)], 10),
        ([(1, 10), (2, 20), (3, 30)], 10),
        ([(1, 10), (1, 15), (2, 20), (2, 25)], 15),
        ([(1, 10), (2, 20), (1, 30), (2, 40)], 30),
        ([(3, 30), (4, 40)], 30),
    ],
)
def test_a_run_began_with_its_last_attempt_number_one(
    attempts: list[tuple[int, int]], began: int | None
) -> None:
    assert run_began_at([attempt(*each) for each in attempts]) == began
