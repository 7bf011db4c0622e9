"""Who may reject it, and how a job ends then."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from hms_svc import RunningJob, aio, bootstrap, dao, gov
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import (
    ActionDenied,
    ActionHeld,
    LeaseLost,
    PolicyUnavailable,
    ValidationFailed,
)
from hms_svc.domain.lifecycle import State
from hms_svc.domain.verdict import Verdict
from hms_svc.ports.control import Act
from hms_svc.ports.policy import Question
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings
from tests.support.worker import (
    PLACE,
    HarnessMaker,
    WorkerHarness,
    on_embedded_first,
    registry_of,
    result_of,
)

pytestmark = on_embedded_first
ONCE = RetryPolicy(max_attempts=1)
DENIED = {**PLACE, "photo": "file:///etc/passwd"}
HELD = {**PLACE, "needs_road_closure": True}


def plain(job: RunningJob) -> str:
    return f"plain {job.attempt}"


async def waiting(job: RunningJob) -> str:
    return f"async {job.attempt}"


def yes(payload: Any) -> bool:
    return True


async def slow_yes(payload: Any) -> None:
    return None


def no(payload: Any) -> bool:
    return False


async def slow_no(payload: Any) -> bool:
    return False


def reasoned_no(payload: Any) -> None:
    raise ValidationFailed("not today")


def broken(payload: Any) -> None:
    raise KeyError("lat")


@pytest.mark.parametrize("validators", [(), (yes,), (slow_yes,), (yes, slow_yes, yes)])
@pytest.mark.parametrize("handler", [plain, waiting])
async def test_plain_and_async_work_together(
    open_harness: HarnessMaker, handler: Any, validators: Any
) -> None:
    async with open_harness(registry_of(handler, validators=validators)) as harness:
        harness.start()
        assert result_of(await harness.run()).endswith(" 1")


async def test_a_handler_may_take_nothing(open_harness: HarnessMaker) -> None:
    async with open_harness(registry_of(lambda: 7)) as harness:
        harness.start()
        assert result_of(await harness.run()) == 7


@pytest.mark.parametrize(
    ("validator", "detail"),
    [(no, "no returned False"), (slow_no, "slow_no returned False"), (reasoned_no, "not today")],
)
@pytest.mark.parametrize("handler", [plain, waiting])
async def test_a_validators_no_rejects_under_its_name(
    open_harness: HarnessMaker, handler: Any, validator: Any, detail: str
) -> None:
    async with open_harness(registry_of(handler, validators=(yes, validator))) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason, view.by, view.detail) == (
            State.REJECTED,
            validator.__name__,
            validator.__name__,
            detail,
        )


@pytest.mark.parametrize("handler", [plain, waiting])
async def test_a_validator_that_breaks_is_an_error(
    open_harness: HarnessMaker, handler: Any
) -> None:
    async with open_harness(registry_of(handler, validators=(broken,), retry=ONCE)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason, view.by) == (State.DEAD, "error", "broken")
        assert view.failure == "KeyError: 'lat'"


async def test_a_payload_its_model_refuses_is_rejected_naming_the_field(
    open_harness: HarnessMaker,
) -> None:
    class Place(BaseModel):
        lat: float

    def handler(job: RunningJob) -> float:
        payload: Place = job.payload
        return payload.lat

    async with open_harness(registry_of(handler, payload=Place)) as harness:
        harness.start()
        assert result_of(await harness.run({"lat": 1.5})) == 1.5
        view = (await harness.run({"lat": "north"})).view
        assert (view.state, view.reason, view.by) == (State.REJECTED, "payload", "Place")
        assert "lat" in view.detail


async def test_a_no_from_the_handler_rejects(open_harness: HarnessMaker) -> None:
    def handler(job: RunningJob) -> None:
        raise ValidationFailed("changed my mind")

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason, view.by) == (State.REJECTED, "handler", "handler")


async def test_a_duplicate_found_by_the_insert_rejects_naming_the_older_case(
    open_harness: HarnessMaker,
) -> None:
    def handler(job: RunningJob) -> str:
        return dao.insert_case(job.data)

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        case = result_of(await harness.run())
        view = (await harness.run()).view
        assert (view.state, view.reason) == (State.REJECTED, "duplicate")
        assert case in view.detail
        assert len(await harness.cases()) == 1


def vet_plainly(job: RunningJob) -> str:
    gov.vet("create_case", job.data)
    return dao.insert_case(job.data)


async def vet_async(job: RunningJob) -> str:
    await aio.gov.vet("create_case", job.data)
    return await aio.dao.insert_case(job.data)


def swallow_plainly(job: RunningJob) -> str:
    try:
        gov.vet("create_case", job.data)
    except (ActionDenied, ActionHeld):
        return "never mind"
    return "allowed"


def swallow_and_write(job: RunningJob) -> str:
    try:
        gov.vet("create_case", job.data)
    except (ActionDenied, ActionHeld):
        return dao.insert_case(job.data)
    return "allowed"


async def swallow_async(job: RunningJob) -> str:
    try:
        await job.gov.vet("create_case", job.data)
    except (ActionDenied, ActionHeld):
        return "never mind"
    return "allowed"


VETTING = [vet_plainly, vet_async, swallow_plainly, swallow_and_write, swallow_async]


@pytest.mark.parametrize("handler", VETTING)
async def test_governance_allows(open_harness: HarnessMaker, handler: Any) -> None:
    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        assert result_of(await harness.run())


@pytest.mark.parametrize("handler", VETTING)
async def test_governance_denies_whatever_the_handler_does_next(
    open_harness: HarnessMaker, handler: Any
) -> None:
    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        view = (await harness.run(DENIED)).view
        assert (view.state, view.reason, view.by) == (
            State.REJECTED,
            "governance",
            "photo-from-nowhere",
        )
        assert await harness.cases() == []


@pytest.mark.parametrize("handler", VETTING)
async def test_governance_holds_until_approved(open_harness: HarnessMaker, handler: Any) -> None:
    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        detail = await harness.reaches(await harness.enqueue(HELD), State.HELD)
        assert (detail.view.reason, detail.view.by) == ("governance", "road-closure")
        assert await harness.cases() == []
        assert detail.hold is not None
        await harness.act(Act.APPROVE, detail.view.id)
        assert result_of(await harness.reaches(detail.view.id))


@pytest.mark.parametrize("handler", [plain, waiting])
async def test_the_declared_action_is_vetted_before_the_handler(
    open_harness: HarnessMaker, handler: Any
) -> None:
    async with open_harness(registry_of(handler, action="create_case")) as harness:
        harness.start()
        assert result_of(await harness.run())
        assert (await harness.run(DENIED)).view.state is State.REJECTED


async def test_types_are_served_side_by_side(open_harness: HarnessMaker) -> None:
    registry = Registry()
    registry.job("a.job")(lambda: "a")
    registry.job("b.job")(waiting)
    async with open_harness(registry) as harness:
        harness.start()
        a, b = await harness.enqueue(type="a.job"), await harness.enqueue(type="b.job")
        assert result_of(await harness.reaches(a)) == "a"
        assert result_of(await harness.reaches(b)) == "async 1"


async def test_a_no_after_the_case_stands_is_dead_at_once_with_the_case_named(
    open_harness: HarnessMaker,
) -> None:
    async def regret(job: RunningJob) -> None:
        await aio.dao.insert_case(PLACE)
        raise ValidationFailed("too late")

    async with open_harness(registry_of(regret)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason, view.attempt) == (State.DEAD, "regret", 1)
        assert view.detail == f"too late; {view.case_id} remains"


class UnreachablePolicy:
    """A policy service that nobody answers at."""

    async def decide(self, question: Question) -> Verdict:
        raise PolicyUnavailable("nobody answers")

    def rule_text(self, rule: str) -> str:
        return ""

    async def close(self) -> None:
        """Hold nothing."""


async def test_a_later_yes_does_not_lift_a_no(open_harness: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> None:
        asked = (job.gov.vet("create_case", DENIED), job.gov.vet("create_case", PLACE))
        await asyncio.gather(*asked, return_exceptions=True)
        await job.dao.insert_case(PLACE)

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        assert (await harness.run()).view.state is State.REJECTED
        assert await harness.cases() == []


async def test_an_action_after_the_case_is_vetted_too(open_harness: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> None:
        await job.gov.vet("create_case", PLACE)
        await job.dao.insert_case(PLACE)
        await job.gov.vet("create_case", DENIED)

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason, view.attempt) == (State.DEAD, "governance", 1)
        assert view.case_id is not None
        assert view.case_id in view.detail


async def test_a_swallowed_outage_of_the_policy_allows_nothing(
    settings: Settings,
) -> None:
    async def handler(job: RunningJob) -> None:
        with suppress(PolicyUnavailable):
            await job.gov.vet("create_case", PLACE)
        with suppress(PolicyUnavailable):
            await job.dao.insert_case(PLACE)

    registry = registry_of(handler)
    async with bootstrap.engines(settings, registry) as engines:
        harness = WorkerHarness(
            msgspec.structs.replace(engines, policy=UnreachablePolicy()), settings
        )
        harness.start()
        job_id = await harness.enqueue()
        detail = await harness.reaches(job_id, State.SCHEDULED)
        assert (detail.view.attempt, detail.history[-1].trigger) == (0, "released")
        assert await harness.cases() == []
        await harness.stop()


async def test_a_job_that_has_ended_writes_nothing_more(open_harness: HarnessMaker) -> None:
    late: list[asyncio.Task[str]] = []
    ended = asyncio.Event()

    async def straggler(job: RunningJob) -> str:
        await ended.wait()
        return await job.dao.insert_case(PLACE)

    async def handler(job: RunningJob) -> None:
        late.append(asyncio.create_task(straggler(job)))

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        await harness.run()
        ended.set()
        with pytest.raises(LeaseLost):
            await late[0]
        assert await harness.cases() == []
