"""A no stays a no: after effects, across attempts and runs, and whatever the handler does around it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from hms_svc import RunningJob, aio, bootstrap, dao, gov
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import (
    NotAnswered,
    WrongThread,
)
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import RetryLater
from hms_svc.domain.strict_json import decode
from hms_svc.domain.verdict import Effect, Verdict
from hms_svc.ports.control import MOVED_ON, Act
from hms_svc.ports.policy import Question
from hms_svc.settings import Settings
from tests.support.worker import WorkerHarness, registry_of, result_of

ONCE = RetryPolicy(max_attempts=1)
SOON = RetryPolicy(max_attempts=3, base_seconds=0.0)
Answer = Callable[[Question], Awaitable[Verdict]]


class ScriptedPolicy:
    """Answers by a function of the test's, and keeps what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[Any] = []

    async def decide(self, question: Question) -> Verdict:
        self.asked.append(question.payload)
        return await self._answer(question)

    def rule_text(self, rule: str) -> str:
        return ""

    async def close(self) -> None:
        """Hold nothing."""


async def by_amount(question: Question) -> Verdict:
    """Deny over 100, hold over 50."""
    amount = question.payload["amount"] if isinstance(question.payload, dict) else 0
    assert isinstance(amount, int)
    effect = Effect.DENY if amount > 100 else Effect.HOLD if amount > 50 else Effect.ALLOW
    return Verdict(effect, f"{effect}-rule", f"{amount} is {effect}")


async def deny_all(question: Question) -> Verdict:
    return Verdict(Effect.DENY, "closed", "nothing today")


async def pay_all(job: RunningJob) -> int:
    """Vet and insert each amount, as a refund service would."""
    for number, amount in enumerate(job.data["amounts"]):
        await job.gov.vet("refund", {"amount": amount})
        await job.dao.insert_case({"amount": amount}, key=str(number), kind="refund")
    return len(job.data["amounts"])


@pytest.fixture
def open_with(settings: Settings) -> Callable[..., Any]:
    """Open a floor whose governance is a function of the test's."""

    def open_with(handler: Any, answer: Answer = by_amount, **declared: Any) -> Any:
        policy = ScriptedPolicy(answer)
        return _Opened(settings, policy, registry_of(handler, **declared))

    return open_with


class _Opened:
    def __init__(self, settings: Settings, policy: ScriptedPolicy, registry: Any) -> None:
        self._engines = bootstrap.engines(settings, registry)
        self._settings = settings
        self._policy = policy
        self.harness: WorkerHarness

    async def __aenter__(self) -> tuple[WorkerHarness, ScriptedPolicy]:
        engines = await self._engines.__aenter__()
        engines = msgspec.structs.replace(engines, policy=self._policy)
        self.harness = WorkerHarness(engines, self._settings)
        self.harness.start()
        return self.harness, self._policy

    async def __aexit__(self, *error: object) -> None:
        await self.harness.stop()
        await self._engines.__aexit__(None, None, None)


async def amounts_of(harness: WorkerHarness) -> list[int]:
    found, _ = await harness.engines.database.cases.page(
        status=None, kind=None, limit=0, cursor=None
    )
    return sorted(decode(case.data)["amount"] for case in found)


async def test_a_deny_after_an_effect_ends_the_run_and_is_not_retried(open_with: Any) -> None:
    async with open_with(pay_all, retry=SOON) as (harness, policy):
        view = (await harness.run({"amounts": [1, 1_000_000]})).view
        assert (view.state, view.reason, view.by) == (State.DEAD, "governance", "deny-rule")
        assert view.detail == f"1000000 is deny; {view.case_id} remains"
        assert (view.attempt, await amounts_of(harness)) == (1, [1])
        await harness.act(Act.RETRY, view.id)
        again = (await harness.reaches(view.id)).view
        assert (again.state, again.reason) == (State.DEAD, "governance")
        assert await amounts_of(harness) == [1]
        assert [asked["amount"] for asked in policy.asked] == [1, 1_000_000] * 2


async def test_a_hold_that_was_denied_is_held_again_when_the_job_is_retried(
    open_with: Any,
) -> None:
    async with open_with(pay_all) as (harness, _):
        held = await harness.reaches(await harness.enqueue({"amounts": [2, 60]}), State.HELD)
        await harness.act(Act.DENY, held.view.id)
        denied = (await harness.reaches(held.view.id)).view
        assert (denied.state, denied.reason) == (State.DEAD, "governance")
        assert denied.case_id is not None
        assert denied.case_id in denied.detail
        await harness.act(Act.RETRY, held.view.id)
        await harness.reaches(held.view.id, State.HELD)
        assert await amounts_of(harness) == [2]
        await harness.act(Act.APPROVE, held.view.id)
        assert result_of(await harness.reaches(held.view.id)) == 2
        assert await amounts_of(harness) == [2, 60]


async def test_an_approval_answers_one_hold_and_a_deny_forgets_it(open_with: Any) -> None:
    async with open_with(pay_all) as (harness, _):
        first = await harness.reaches(await harness.enqueue({"amounts": [60, 70]}), State.HELD)
        job_id = first.view.id
        await harness.act(Act.APPROVE, job_id)
        second = await harness.reaches(job_id, State.HELD)
        assert (second.view.approvals, second.view.fence > first.view.fence) == (1, True)
        await harness.act(Act.DENY, job_id)
        assert (await harness.reaches(job_id)).view.approvals == 0
        await harness.act(Act.RETRY, job_id)
        again = await harness.reaches(job_id, State.HELD)
        assert again.hold == first.hold
        assert await amounts_of(harness) == [60]


async def test_a_hold_spends_no_attempt(open_with: Any) -> None:
    seen: list[str] = []

    async def handler(job: RunningJob) -> None:
        await job.gov.vet("refund", {"amount": 60})
        seen.append(f"attempt {job.attempt} of {job.max_attempts}")

    async with open_with(handler, retry=ONCE) as (harness, _):
        held = await harness.reaches(await harness.enqueue(), State.HELD)
        await harness.act(Act.APPROVE, held.view.id)
        assert (await harness.reaches(held.view.id)).view.state is State.COMPLETED
        assert seen == ["attempt 1 of 1"]


async def test_two_operators_answer_one_hold_and_one_of_them_is_told(open_with: Any) -> None:
    async with open_with(pay_all) as (harness, _):
        held = await harness.reaches(await harness.enqueue({"amounts": [60]}), State.HELD)
        [denied], [approved] = await asyncio.gather(
            harness.try_act(Act.DENY, held.view.id), harness.try_act(Act.APPROVE, held.view.id)
        )
        assert (denied.done, approved.done) in {(True, False), (False, True)}
        assert (approved if denied.done else denied).why.startswith(("is ", MOVED_ON))


async def unawaited(job: RunningJob) -> None:
    job.gov.vet("refund", {"amount": 1}).close()
    await job.dao.insert_case({"amount": 1}, kind="refund")


async def unawaited_aio(job: RunningJob) -> None:
    aio.gov.vet("refund", {"amount": 1}).close()
    with suppress(NotAnswered):
        await job.dao.insert_case({"amount": 1}, kind="refund")


async def blocking_on_the_loop(job: RunningJob) -> None:
    with suppress(WrongThread):
        gov.vet("refund", {"amount": 1})
    await job.dao.insert_case({"amount": 1}, kind="refund")


async def not_json(job: RunningJob) -> None:
    with suppress(Exception):
        await job.gov.vet("refund", {"amount": object()})
    await job.gov.vet("refund", {"amount": 1})
    await job.dao.insert_case({"amount": 1}, kind="refund")


def not_json_plainly(job: RunningJob) -> None:
    with suppress(Exception):
        gov.vet("refund", {"amount": {1, 2}})
    dao.insert_case({"amount": 1}, kind="refund")


async def no_text(job: RunningJob) -> None:
    with suppress(Exception):
        await job.gov.vet(["refund"], {"amount": 1})  # type: ignore[arg-type]  # the wrong type is the point
    await job.dao.insert_case({"amount": 1}, kind="refund")


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize(
    "handler",
    [unawaited, unawaited_aio, blocking_on_the_loop, not_json, not_json_plainly, no_text],
)
async def test_a_question_without_an_answer_is_no_yes(open_with: Any, handler: Any) -> None:
    async with open_with(handler, retry=ONCE) as (harness, _):
        view = (await harness.run()).view
        assert (view.state, view.reason) == (State.DEAD, "error")
        assert await amounts_of(harness) == []


async def test_a_question_that_is_given_up_is_no_yes(open_with: Any) -> None:
    answer = asyncio.Event()

    async def slow(question: Question) -> Verdict:
        await answer.wait()
        return Verdict(Effect.DENY, "closed", "nothing today")

    async def handler(job: RunningJob) -> None:
        asking = asyncio.ensure_future(job.gov.vet("refund", {"amount": 1}))
        await asyncio.sleep(0)
        asking.cancel()
        await job.dao.insert_case({"amount": 1}, kind="refund")

    async with open_with(handler, slow, retry=ONCE) as (harness, _):
        view = (await harness.run()).view
        assert view.failure.startswith("NotAnswered: governance was asked about 'refund'")
        assert await amounts_of(harness) == []


async def test_a_policy_that_breaks_is_no_yes(open_with: Any) -> None:
    async def broken(question: Question) -> Verdict:
        raise ValueError("cannot convert")

    async def handler(job: RunningJob) -> None:
        with suppress(ValueError):
            await job.gov.vet("refund", {"amount": 1})
        await job.dao.insert_case({"amount": 1}, kind="refund")

    async with open_with(handler, broken, retry=ONCE) as (harness, _):
        view = (await harness.run()).view
        assert (view.state, view.failure) == (State.DEAD, "ValueError: cannot convert")
        assert await amounts_of(harness) == []


async def test_what_is_asked_about_cannot_change_while_it_is_asked(open_with: Any) -> None:
    async def handler(job: RunningJob) -> None:
        payload = {"amount": 1}
        asking = job.gov.vet("refund", payload)
        payload["amount"] = 1_000_000
        await asking

    async with open_with(handler) as (harness, policy):
        assert (await harness.run()).view.state is State.COMPLETED
        assert policy.asked == [{"amount": 1}]


async def test_a_declared_action_is_asked_about_again_where_its_yes_is_not_recorded(
    open_with: Any,
) -> None:
    async def handler(job: RunningJob) -> None:
        await job.dao.insert_case({"amount": 1}, kind="refund")
        if job.attempt == 1:
            raise RetryLater(0.0)

    async with open_with(handler, action="refund") as (harness, policy):
        assert (await harness.run({"amount": 1})).view.state is State.COMPLETED
        assert policy.asked == [{"amount": 1}]


async def deny_then_raise(job: RunningJob) -> None:
    with suppress(Exception):
        await job.gov.vet("refund", {"amount": 1})
    raise RuntimeError("something else")


async def deny_then_ask_for_later(job: RunningJob) -> RetryLater:
    with suppress(Exception):
        await job.gov.vet("refund", {"amount": 1})
    return RetryLater(0.0)


async def deny_then_cancel(job: RunningJob) -> None:
    with suppress(Exception):
        await job.gov.vet("refund", {"amount": 1})
    raise asyncio.CancelledError


@pytest.mark.parametrize("handler", [deny_then_raise, deny_then_ask_for_later, deny_then_cancel])
async def test_a_deny_ends_the_run_however_the_handler_ends(open_with: Any, handler: Any) -> None:
    async with open_with(handler, deny_all, retry=SOON) as (harness, policy):
        view = (await harness.run()).view
        assert (view.state, view.reason, view.by) == (State.REJECTED, "governance", "closed")
        assert len(policy.asked) == 1


async def test_a_deny_ends_a_run_that_times_out(open_with: Any) -> None:
    async def handler(job: RunningJob) -> None:
        with suppress(Exception):
            await job.gov.vet("refund", {"amount": 1})
        await asyncio.Event().wait()

    async with open_with(handler, deny_all, retry=SOON, timeout_seconds=0.2) as (harness, _):
        view = (await harness.run()).view
        assert (view.state, view.reason, view.by) == (State.REJECTED, "governance", "closed")


async def test_a_deny_beside_a_commit_under_way_is_final(open_with: Any) -> None:
    async def handler(job: RunningJob) -> None:
        writing = asyncio.create_task(job.dao.insert_case({"amount": 1}, kind="refund"))
        await asyncio.sleep(0)
        await job.gov.vet("refund", {"amount": 1_000})
        await writing

    async with open_with(handler, deny_all, retry=SOON) as (harness, policy):
        view = (await harness.run()).view
        assert (view.state, view.reason, view.by) == (State.DEAD, "governance", "closed")
        assert len(policy.asked) == 1


async def test_after_a_deny_no_yes_of_before_counts(open_with: Any) -> None:
    answers = [Effect.ALLOW, Effect.DENY, Effect.DENY]

    async def one_by_one(question: Question) -> Verdict:
        return Verdict(answers.pop(0), "rule", "as the script says")

    async def handler(job: RunningJob) -> None:
        for number in (1, 2):
            await job.gov.vet("refund", {"amount": 9})
            await job.dao.insert_case({"amount": number}, key=str(number), kind="refund")

    async with open_with(handler, one_by_one) as (harness, _):
        denied = (await harness.run()).view
        assert (denied.state, denied.reason) == (State.DEAD, "governance")
        await harness.act(Act.RETRY, denied.id)
        again = (await harness.reaches(denied.id)).view
        assert (again.state, again.reason, answers) == (State.DEAD, "governance", [])
        assert await amounts_of(harness) == [1]
