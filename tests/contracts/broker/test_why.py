"""Why, over each broker: what is told is what is recorded, and that nobody is there where nobody is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from hms_svc.domain.filter import EVERYTHING
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Failure
from hms_svc.operations.reads import Reads
from tests.support.broker_engines import TYPE, BrokerHarness

Situation = Callable[[BrokerHarness], Awaitable[object]]


def heard_of(harness: BrokerHarness, *workers: str, types: tuple[str, ...] = (TYPE,)) -> None:
    for worker in workers:
        harness.register(*types, worker=worker)


async def in_hand(harness: BrokerHarness) -> None:
    heard_of(harness, "worker-1")
    await harness.accept()
    await harness.claim()


async def at_work(harness: BrokerHarness) -> None:
    await in_hand(harness)
    harness.clock.advance(5)


async def only_worker_frozen(harness: BrokerHarness) -> None:
    await in_hand(harness)
    harness.clock.advance(20)


async def one_of_two_frozen(harness: BrokerHarness) -> None:
    await only_worker_frozen(harness)
    heard_of(harness, "worker-2")


async def only_worker_killed(harness: BrokerHarness) -> None:
    await in_hand(harness)
    harness.clock.advance(60)


async def one_of_two_killed(harness: BrokerHarness) -> None:
    await only_worker_killed(harness)
    heard_of(harness, "worker-2")


async def long_forgotten(harness: BrokerHarness) -> None:
    await in_hand(harness)
    harness.clock.advance(400)
    heard_of(harness, "worker-2")


async def rescued(harness: BrokerHarness) -> None:
    await one_of_two_killed(harness)
    await harness.broker.reap(10)


async def retry_of(harness: BrokerHarness, *, after: int, woken: bool) -> None:
    """Let the only job fail, due in a minute, and look after some seconds."""
    heard_of(harness, "worker-1")
    await harness.accept()
    [job] = await harness.claim()
    await harness.settle(
        job,
        State.RETRYING,
        trigger=Trigger.FAILED,
        due_at=harness.clock.now_ms() + 60_000,
        failure=Failure("OSError", "away"),
    )
    harness.clock.advance(after)
    if woken:
        heard_of(harness, "worker-1")


async def retry_ahead(harness: BrokerHarness) -> None:
    await retry_of(harness, after=20, woken=True)


async def retry_ahead_alone(harness: BrokerHarness) -> None:
    await retry_of(harness, after=20, woken=False)


async def retry_overdue(harness: BrokerHarness) -> None:
    await retry_of(harness, after=62, woken=True)


async def retry_overdue_alone(harness: BrokerHarness) -> None:
    await retry_of(harness, after=840, woken=False)


async def scheduled_overdue_alone(harness: BrokerHarness) -> None:
    await harness.accept(not_before=harness.clock.now_ms() + 60_000)
    harness.clock.advance(840)


async def paused_alone(harness: BrokerHarness) -> None:
    await harness.accept()
    await harness.control.pause(TYPE, by="ann", reason="storm")


async def unserved(harness: BrokerHarness) -> None:
    heard_of(harness, "worker-1", types=("crew.notify",))
    await harness.accept()
    harness.clock.advance(5)


SITUATIONS: dict[Situation, str] = {
    at_work: "has been processed by worker-1 for 5 s, attempt 1 of 3.",
    only_worker_frozen: "is in processing, attempt 1 of 3, and its worker worker-1 was last seen 20 s ago; "
    "its lease ends in 10 s; there is no live worker to requeue it.",
    one_of_two_frozen: "is in processing, attempt 1 of 3, and its worker worker-1 was last seen 20 s ago; "
    "its lease ends in 10 s.",
    only_worker_killed: "is in processing, attempt 1 of 3, and its worker worker-1 was last seen 1 m ago; "
    "its lease ran out 30 s ago; there is no live worker to requeue it.",
    one_of_two_killed: "is in processing, attempt 1 of 3, and its worker worker-1 was last seen 1 m ago; "
    "its lease ran out 30 s ago; a live worker will requeue it.",
    long_forgotten: "is in processing, attempt 1 of 3, and its worker worker-1 is no longer registered; "
    "its lease ran out 6 m 10 s ago; a live worker will requeue it.",
    rescued: "waits for the suspect lane, where suspect jobs run one at a time: the last worker "
    "that ran it died or lost its lease.",
    retry_ahead: "is due at 2027-01-15T08:01:00.000Z, in 40 s.",
    retry_ahead_alone: "is due at 2027-01-15T08:01:00.000Z, in 40 s; there is no live worker now.",
    retry_overdue: "was due at 2027-01-15T08:01:00.000Z, 2 s ago and is about to become ready.",
    retry_overdue_alone: "was due at 2027-01-15T08:01:00.000Z, 13 m ago; there is no live worker to "
    "run it.",
    scheduled_overdue_alone: "waits for its time: it was due at 2027-01-15T08:01:00.000Z, 13 m ago; there is "
    "no live worker to run it.",
    paused_alone: "waits because queue pothole.report was paused by ann (storm); no live worker serves "
    "pothole.report either.",
    unserved: "has waited 5 s because no live worker serves pothole.report; after 7 days it ends as "
    "dead with the reason no_handler.",
}


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.__name__)
async def test_each_situation_has_its_sentence(
    harness: BrokerHarness, situation: Situation
) -> None:
    await situation(harness)
    reads = Reads(
        inspection=harness.inspection, bus=harness.bus, database=None, clock=harness.clock
    )
    [job] = (await reads.jobs(EVERYTHING, limit=0, cursor=None)).jobs
    assert (await reads.why(job.id)).endswith(f" {SITUATIONS[situation]}")
