"""What a handler gives back, says and prints."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from hms_svc import Cancel, DeadLetter, RetryLater, RunningJob, Snooze, ValidationFailed
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.lifecycle import State
from hms_svc.sdk.registry import Registry
from tests.support.worker import HarnessMaker, on_embedded_first, registry_of, result_of

pytestmark = on_embedded_first
ONCE = RetryPolicy(max_attempts=1)
SURROGATE = "file \udc80"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def endless() -> list[Any]:
    rope: list[Any] = []
    rope.append(rope)
    return rope


@pytest.mark.parametrize(
    "result", [object(), float("nan"), 2**70, SURROGATE, {1: 2}, endless(), "x" * (1024 * 1024)]
)
async def test_a_result_that_is_no_json_is_an_error(
    open_harness: HarnessMaker, result: Any
) -> None:
    async with open_harness(registry_of(lambda: result, retry=ONCE)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason) == (State.DEAD, "error")
        assert view.failure.startswith("MalformedResult: ")


async def test_an_error_is_retried_until_the_attempts_are_used_up(
    open_harness: HarnessMaker,
) -> None:
    def handler(job: RunningJob) -> None:
        raise RuntimeError(f"attempt {job.attempt}")

    retry = RetryPolicy(max_attempts=3, base_seconds=0.01)
    async with open_harness(registry_of(handler, retry=retry)) as harness:
        harness.start()
        detail = await harness.run()
        assert (detail.view.state, detail.view.reason, detail.view.by) == (
            State.DEAD,
            "error",
            "handler",
        )
        errors = [attempt.error for attempt in detail.attempts]
        assert errors == [f"RuntimeError: attempt {number}" for number in (1, 2, 3)]
        assert "in handler" in detail.attempts[0].traceback


async def test_a_job_may_ask_to_be_retried_and_that_counts(open_harness: HarnessMaker) -> None:
    def handler(job: RunningJob) -> Any:
        return job.attempt if job.attempt == 2 else RetryLater(0.01, "not yet")

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        detail = await harness.run()
        assert result_of(detail) == 2
        assert detail.attempts[0].error == "RetryLater: not yet"


async def test_a_snooze_does_not_count(open_harness: HarnessMaker) -> None:
    runs: list[int] = []

    def handler(job: RunningJob) -> Any:
        runs.append(job.attempt)
        return "awake" if len(runs) == 3 else Snooze(0.01)

    async with open_harness(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        assert result_of(await harness.run()) == "awake"
        assert runs == [1, 1, 1]


@pytest.mark.parametrize(
    ("asked", "state", "reason"),
    [
        (Cancel("called off"), State.CANCELLED, "cancelled"),
        (DeadLetter("hopeless"), State.DEAD, "error"),
    ],
)
async def test_a_handler_may_end_its_job(
    open_harness: HarnessMaker, asked: Any, state: State, reason: str
) -> None:
    async with open_harness(registry_of(lambda: asked)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason, view.by, view.detail) == (
            state,
            reason,
            "handler",
            asked.why,
        )


@pytest.mark.parametrize(
    "asked",
    [
        Snooze(float("nan")),
        Snooze(-1),
        Snooze("soon"),  # type: ignore[arg-type]  # the wrong type is the point
        RetryLater(1e300),
        RetryLater(float("inf")),
    ],
)
async def test_a_delay_that_is_none_is_an_error(open_harness: HarnessMaker, asked: Any) -> None:
    async with open_harness(registry_of(lambda: asked, retry=ONCE)) as harness:
        harness.start()
        assert (await harness.run()).view.failure.startswith("MalformedResult: ")


def raises(job: RunningJob) -> None:
    raise RuntimeError(SURROGATE)


def prints(job: RunningJob) -> None:
    print(SURROGATE)


def refuses(job: RunningJob) -> None:
    raise ValidationFailed(SURROGATE, validator=SURROGATE)


def refuses_in_no_words(job: RunningJob) -> None:
    raise ValidationFailed({"not": "words"})  # type: ignore[arg-type]  # the wrong type is the point


def gives_up(job: RunningJob) -> DeadLetter:
    return DeadLetter(SURROGATE)


def cancels_in_no_words(job: RunningJob) -> Cancel:
    return Cancel(object())  # type: ignore[arg-type]  # the wrong type is the point


def says_nul(job: RunningJob) -> None:
    raise RuntimeError("\0")


def goes_on_and_on(job: RunningJob) -> None:
    raise ValidationFailed("no " * 10_000_000)


def cannot_say(job: RunningJob) -> None:
    raise Unspeakable


async def cannot_say_either(job: RunningJob) -> None:
    raise Unspeakable


def exits(job: RunningJob) -> None:
    sys.exit(3)


async def exits_too(job: RunningJob) -> None:
    sys.exit(3)


@pytest.mark.parametrize(
    "handler",
    [
        raises,
        prints,
        refuses,
        refuses_in_no_words,
        gives_up,
        cancels_in_no_words,
        says_nul,
        goes_on_and_on,
        cannot_say,
        cannot_say_either,
        exits,
        exits_too,
    ],
)
async def test_words_that_cannot_be_written_hold_nobody_up(
    open_harness: HarnessMaker, handler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The processes that run the tests send each other what was logged, and fail at such a text.
    monkeypatch.setattr(logging.getLogger("hms_svc"), "propagate", False)
    registry = registry_of(handler, retry=ONCE)
    registry.job("healthy.job")(lambda: "fine")
    async with open_harness(registry) as harness:
        harness.start()
        strange, healthy = await harness.enqueue(), await harness.enqueue(type="healthy.job")
        assert result_of(await harness.reaches(healthy)) == "fine"
        detail = await harness.reaches(strange)
        assert len(detail.view.detail) < 10_000


async def test_progress_and_output_are_kept_with_the_job(
    open_harness: HarnessMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(job: RunningJob) -> None:
        job.progress(0.25, "a quarter")
        job.progress(None, SURROGATE)
        job.progress(1.0)
        job.log("a line of the log")
        print("printed")
        print("complained", file=sys.stderr)

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        job_id = (await harness.run()).view.id
        await harness.stop()
        detail = await harness.detail(job_id)
        assert [(line.share, line.message) for line in detail.progress][:1] == [(0.25, "a quarter")]
        assert [line.message for line in detail.progress if line.log] == ["a line of the log"]
        assert detail.attempts[0].log == "a line of the log\nprinted\ncomplained\n"


async def test_output_is_bounded_and_says_so(open_harness: HarnessMaker) -> None:
    def handler(job: RunningJob) -> None:
        for _ in range(100):
            print("x" * 1000)

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        log = (await harness.run()).attempts[0].log
        assert len(log) < 66_000
        assert log.endswith("over 64 KiB\n")


async def test_a_log_that_is_full_is_not_streamed_on(open_harness: HarnessMaker) -> None:
    def handler(job: RunningJob) -> None:
        for number in range(100):
            job.log(f"{number} " + "x" * 1000)

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        job_id = (await harness.run()).view.id
        await harness.stop()
        *_, last = (await harness.detail(job_id)).progress
        assert last.message.partition(" ")[0] == "65"


async def test_a_job_knows_about_itself(open_harness: HarnessMaker) -> None:
    def handler(job: RunningJob) -> Any:
        return [job.type, job.attempt, job.max_attempts, job.meta, job.deadline > job.enqueued_at]

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        detail = await harness.run(max_attempts=4, meta={"desk": 3})
        assert result_of(detail) == ["test.job", 1, 4, {"desk": 3}, True]


async def test_a_hundred_jobs_over_four_slots_all_complete(open_harness: HarnessMaker) -> None:
    registry = Registry()
    registry.job("a.job")(lambda: 1)

    @registry.job("b.job")
    async def handler(job: RunningJob) -> int:
        return 2

    async with open_harness(registry) as harness:
        harness.start()
        ids = [await harness.enqueue(type=("a.job", "b.job")[n % 2]) for n in range(100)]
        results = [result_of(await harness.reaches(job_id)) for job_id in ids]
        assert results == [1, 2] * 50
