"""What validators and handlers may return or raise, and what becomes of the job."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
from datetime import UTC, datetime
from typing import Any

import pytest

from hms_svc import RunningJob, aio, dao, gov
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import NoActiveJob, ValidationFailed
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Cancel, DeadLetter, JobOutcome, RetryLater, Snooze
from tests.support.worker import PLACE, HarnessMaker, on_embedded_first, registry_of, result_of

pytestmark = on_embedded_first
ONCE = RetryPolicy(max_attempts=1)
SOON = RetryPolicy(max_attempts=3, base_seconds=0.0)


async def says_no(payload: Any) -> bool:
    return False


async def says_yes(payload: Any) -> bool:
    return True


def wrapped(validator: Any) -> Any:
    @functools.wraps(validator)
    def call(payload: Any) -> Any:
        return validator(payload)

    return call


def passed_on(validator: Any) -> Any:
    """A plain function that gives back what an `async` one makes, unawaited."""
    return functools.partial(lambda made, payload: made(payload), validator)


class Empty:
    def __bool__(self) -> bool:
        return False


class Undecided:
    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


def generator(payload: Any) -> Any:
    yield False


async def async_generator(payload: Any) -> Any:
    yield False


NOES = [
    (lambda payload: 0, "returned 0, which is not true"),
    (lambda payload: "", "returned '', which is not true"),
    (lambda payload: [], "returned [], which is not true"),
    (passed_on(says_no), "returned False"),
    (wrapped(says_no), "returned False"),
    (lambda payload: Empty(), "returned <tests"),
    (lambda payload: ValidationFailed("returned, not raised"), "returned, not raised"),
]
YESES = [
    lambda payload: None,
    lambda payload: 1,
    passed_on(says_yes),
    wrapped(says_yes),
]


def plain(job: RunningJob) -> str:
    return "ran"


async def awaited(job: RunningJob) -> str:
    return "ran"


@pytest.mark.parametrize("handler", [plain, awaited])
@pytest.mark.parametrize(("validator", "words"), NOES)
async def test_a_value_that_is_not_true_is_a_no(
    open_harness: HarnessMaker, handler: Any, validator: Any, words: str
) -> None:
    async with open_harness(registry_of(handler, validators=(validator,))) as harness:
        harness.start()
        view = (await harness.run()).view
        assert view.state is State.REJECTED
        assert words in view.detail


@pytest.mark.parametrize("handler", [plain, awaited])
@pytest.mark.parametrize("validator", YESES)
async def test_none_and_what_is_true_is_a_yes(
    open_harness: HarnessMaker, handler: Any, validator: Any
) -> None:
    async with open_harness(registry_of(handler, validators=(validator,))) as harness:
        harness.start()
        assert result_of(await harness.run()) == "ran"


@pytest.mark.parametrize("handler", [plain, awaited])
@pytest.mark.parametrize(
    "validator", [lambda payload: Undecided(), wrapped(generator), wrapped(async_generator)]
)
async def test_an_answer_that_cannot_be_told_is_an_error(
    open_harness: HarnessMaker, handler: Any, validator: Any
) -> None:
    async with open_harness(registry_of(handler, validators=(validator,), retry=ONCE)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason) == (State.DEAD, "error")


OUTCOMES = [
    (DeadLetter("declined"), State.DEAD, "error"),
    (Cancel("not needed"), State.CANCELLED, "cancelled"),
    (Snooze(3600.0, "later"), State.SCHEDULED, ""),
    (RetryLater(3600.0, "busy"), State.RETRYING, "error"),
]


def raising(outcome: JobOutcome) -> list[Any]:
    def returns(job: RunningJob) -> JobOutcome:
        return outcome

    def raises(job: RunningJob) -> None:
        raise outcome

    async def returns_async(job: RunningJob) -> JobOutcome:
        return outcome

    async def raises_async(job: RunningJob) -> None:
        raise outcome

    return [returns, raises, returns_async, raises_async]


@pytest.mark.parametrize(
    ("handler", "state", "reason"),
    [
        (handler, state, reason)
        for outcome, state, reason in OUTCOMES
        for handler in raising(outcome)
    ],
)
async def test_outcomes_are_returned_and_raised_alike(
    open_harness: HarnessMaker, handler: Any, state: State, reason: str
) -> None:
    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        view = (await harness.reaches(await harness.enqueue(), state)).view
        assert (view.reason, view.failure.startswith("TypeError")) == (reason, False)


@pytest.mark.parametrize("handler", [plain, awaited])
@pytest.mark.parametrize(
    ("validator", "state", "reason"),
    [
        (validator, state, reason)
        for outcome, state, reason in OUTCOMES
        for validator in raising(outcome)
    ],
)
async def test_a_validator_may_ask_for_them_too(
    open_harness: HarnessMaker, handler: Any, validator: Any, state: State, reason: str
) -> None:
    async with open_harness(registry_of(handler, validators=(validator,))) as harness:
        harness.start()
        view = (await harness.reaches(await harness.enqueue(), state)).view
        assert (view.reason, view.failure.startswith("TypeError")) == (reason, False)


async def test_what_a_plain_handler_returns_to_be_awaited_is_awaited(
    open_harness: HarnessMaker,
) -> None:
    def handler(job: RunningJob) -> Any:
        return awaited(job)

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        assert result_of(await harness.run()) == "ran"


@pytest.mark.parametrize("result", [datetime.now(UTC), "x" * (1024 * 1024 + 1), {1, 2}])
async def test_a_result_that_cannot_be_kept_ends_the_job_and_its_effect_is_written_once(
    open_harness: HarnessMaker, result: Any
) -> None:
    async def handler(job: RunningJob) -> Any:
        await job.dao.insert_case(PLACE)
        return result

    async with open_harness(registry_of(handler, retry=SOON)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason, view.attempt) == (State.DEAD, "error", 1)
        assert view.failure.startswith("MalformedResult: ")
        assert view.case_id is not None


async def lets_a_cancellation_out(job: RunningJob) -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    task.cancel()
    await task


def raises_a_cancellation(job: RunningJob) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("handler", [lets_a_cancellation_out, raises_a_cancellation])
async def test_a_cancellation_that_nobody_asked_for_is_an_error(
    open_harness: HarnessMaker, handler: Any
) -> None:
    async with open_harness(registry_of(handler, retry=SOON)) as harness:
        harness.start()
        detail = await harness.run()
        assert (detail.view.state, detail.view.reason) == (State.DEAD, "error")
        assert detail.view.failure.startswith("CancelledError: ")
        assert [attempt.attempt for attempt in detail.attempts] == [1, 2, 3]


async def test_a_thread_that_a_handler_starts_has_no_job(open_harness: HarnessMaker) -> None:
    refused: list[str] = []

    def handler(job: RunningJob) -> None:
        calls = (
            lambda: dao.insert_case(PLACE),
            lambda: gov.vet("create_case", PLACE),
            lambda: dao.case_exists(1.0, 1.0),
        )
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            for call in calls:
                try:
                    pool.submit(call).result()
                except NoActiveJob as error:
                    refused.append(str(error).split(":")[0])
            run = contextvars.copy_context().run
            pool.submit(run, dao.insert_case, {**PLACE, "lat": 1.0}, "given").result()

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        detail = await harness.run()
        assert detail.view.state is State.COMPLETED
        assert refused == ["dao.insert_case", "gov.vet", "dao.case_exists"]
        assert await harness.cases() == [detail.view.id]


async def test_a_task_without_the_job_is_refused_by_its_dao_too(open_harness: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> str:
        stray = asyncio.create_task(job.dao.insert_case(PLACE), context=contextvars.Context())
        try:
            return await stray
        except NoActiveJob:
            return "refused"

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        assert result_of(await harness.run()) == "refused"


async def test_inside_a_job_nothing_is_written_outside_of_it(open_harness: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> str:
        return await aio.dao.outside.insert_case(PLACE, kind="pothole")

    async with open_harness(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert "is running here: call dao.insert_case" in view.failure
