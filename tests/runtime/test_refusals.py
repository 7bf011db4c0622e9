"""How a job ends where anyone but governance says no: a validator, its handler, an operator, or the database."""

from __future__ import annotations

from typing import Any

import pytest

from hms_svc import RunningJob, aio
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import (
    DatabaseUnavailable,
    ValidationFailed,
)
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Cancel, DeadLetter, RetryLater
from hms_svc.ports.broker import Settlement
from hms_svc.ports.control import Act
from hms_svc.runtime import decide
from tests.support.worker import PLACE, HarnessMaker, on_embedded_first, registry_of

pytestmark = on_embedded_first
ONCE = RetryPolicy(max_attempts=1)
SOON = RetryPolicy(max_attempts=3, base_seconds=0.0)


async def test_a_no_of_a_validator_after_its_own_effect_cannot_be(
    open_harness: HarnessMaker,
) -> None:
    async def writes(payload: Any) -> None:
        await aio.dao.insert_case(PLACE)

    async def handler(job: RunningJob) -> None:
        """Do nothing."""

    async with open_harness(registry_of(handler, validators=(writes,), retry=ONCE)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert view.failure.startswith("NoActiveJob: job ")
        assert "is being validated" in view.failure
        assert await harness.cases() == []


async def test_cancelled_by_its_handler_after_the_case_is_dead(open_harness: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> Cancel:
        await job.dao.insert_case(PLACE)
        return Cancel("never mind")

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason, view.by) == (State.DEAD, "cancelled", "handler")
        assert view.detail == f"never mind; {view.case_id} remains"


async def test_an_operator_cannot_cancel_away_a_case(open_harness: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> None:
        await job.dao.insert_case(PLACE)
        raise RetryLater(3600.0)

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        retrying = await harness.reaches(await harness.enqueue(), State.RETRYING)
        await harness.act(Act.CANCEL, retrying.view.id)
        view = (await harness.reaches(retrying.view.id)).view
        assert (view.state, view.reason, view.by) == (State.DEAD, "cancelled", "ravi")
        assert view.detail == f"{view.case_id} remains"


@pytest.mark.parametrize(
    "outcome", [Cancel(None), DeadLetter(None), ValidationFailed(None), ValidationFailed()]
)
async def test_a_no_without_words_is_a_no(open_harness: HarnessMaker, outcome: Exception) -> None:
    async def handler(job: RunningJob) -> None:
        raise outcome

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.by == "reaper", view.detail) == (False, "")


async def test_a_validator_is_named_whatever_it_says_no_by(open_harness: HarnessMaker) -> None:
    async def inner() -> None:
        raise ValidationFailed("later")

    def lazy(payload: Any) -> Any:
        return inner()

    def returning(payload: Any) -> Any:
        return ValidationFailed("given back")

    for validator in (lazy, returning):
        async with open_harness(registry_of(lambda: None, validators=(validator,))) as harness:
            harness.start()
            view = (await harness.run()).view
            assert (view.state, view.reason, view.by) == (
                State.REJECTED,
                validator.__name__,
                validator.__name__,
            )


@pytest.mark.parametrize("named", [{"id": "hms:tick:roads.sweep:1"}, {"type": "event.deliver"}])
async def test_a_follow_up_cannot_take_a_name_of_ours(
    open_harness: HarnessMaker, named: dict[str, str]
) -> None:
    async def handler(job: RunningJob) -> None:
        fields = {"type": "some.job", **named}
        further = make_job(fields.pop("type"), {}, now_ms=1, **fields)  # type: ignore[arg-type]  # fields of any name and type
        await job.dao.insert_case(PLACE, follow_ups=[further])

    async with open_harness(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert view.failure.startswith("MalformedJob: ")
        assert await harness.cases() == []


async def test_another_effect_under_a_key_ends_the_job_at_once(open_harness: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> None:
        await job.dao.insert_case({"n": 1}, kind="k")
        await job.dao.insert_case({"n": 2}, kind="k")

    async with open_harness(registry_of(handler, retry=SOON)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason, view.attempt) == (State.DEAD, "error", 1)
        assert view.failure.startswith("EffectConflict: ")


async def test_where_the_look_up_at_the_claim_fails_the_end_stays_open(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(job: RunningJob) -> None:
        if job.claimed.claims == 1:
            raise RetryLater(0.0)

    async with open_harness(registry_of(handler)) as harness:
        broker, database = harness.engines.broker, harness.engines.database
        recall, settle = database.effects.recall, broker.settle
        settled: list[Settlement] = []

        async def failing(claims: Any) -> Any:
            monkeypatch.setattr(database.effects, "recall", recall)
            raise DatabaseUnavailable("away for a moment")

        async def watched(settlements: Any) -> Any:
            settled.extend(settlements)
            return await settle(settlements)

        monkeypatch.setattr(decide, "OUTAGE_PAUSE_MS", 50)
        monkeypatch.setattr(database.effects, "recall", failing)
        monkeypatch.setattr(broker, "settle", watched)
        harness.start()
        assert (await harness.run()).view.state is State.COMPLETED
        ends = [(each.disposition.state, each.disposition.uncertain) for each in settled]
        assert ends == [
            (State.RETRYING, False),
            (State.SCHEDULED, True),
            (State.COMPLETED, False),
        ]
