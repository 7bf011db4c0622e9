"""Events on their way out: streams for consumers in Python, deliveries for other agencies."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from hms_svc.domain.agencies import Receiver
from hms_svc.domain.deliveries import delivery_job
from hms_svc.domain.errors import BadInput
from hms_svc.domain.event import service_event
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import decode
from hms_svc.operations.event_stream import EventStream
from hms_svc.runtime.event_forwarder import EventForwarder
from tests.support.broker_engines import BrokerHarness

AT = 1_800_000_000_000
DELIVER = "event.deliver"


async def announce(harness: BrokerHarness, *types: str, key: str = "") -> None:
    await harness.bus.publish([service_event("j", type, key, {"n": 1}, AT) for type in types])


async def take(stream: EventStream, count: int) -> list[str]:
    """Take events, acknowledging none."""
    return [(await anext(stream)).type for _ in range(count)]


async def test_what_a_consumer_has_not_acknowledged_comes_again_after_a_minute(
    harness: BrokerHarness,
) -> None:
    await announce(harness, "case.opened", "audit.sealed", "case.closed")
    one = EventStream(harness.bus, group="act", consumer="one", types=("case.*",))
    opened = await anext(one)
    assert (opened.type, (await anext(one)).type) == ("case.opened", "case.closed")
    await one.acknowledge(opened)
    harness.clock.advance(61)
    two = EventStream(harness.bus, group="act", consumer="two")
    again = await anext(two)
    assert (again.type, again.payload()) == ("case.closed", {"n": 1})
    await two.acknowledge(again)
    harness.clock.advance(61)
    await announce(harness, "case.reopened")
    assert await take(two, 1) == ["case.reopened"], "nothing else was left"


async def test_a_consumer_that_fell_behind_is_told_whatever_it_asked_for(
    harness: BrokerHarness,
) -> None:
    await announce(harness, "case.opened")
    stream = EventStream(harness.bus, group="act", consumer="one", types=("case.*",))
    await stream.acknowledge(await anext(stream))
    await announce(harness, "case.closed")
    harness.clock.wall += 8 * 86_400_000
    await harness.control.trim(limit=100)
    await announce(harness, "case.reopened")
    gap = await anext(stream)
    await stream.acknowledge(gap)
    assert [gap.type, *await take(stream, 1)] == ["events.gap", "case.reopened"]


async def test_without_a_group_a_stream_goes_on_above_a_position(harness: BrokerHarness) -> None:
    await announce(harness, "case.opened", "case.closed")
    first = (await harness.bus.read(after=0, limit=1))[0]
    stream = EventStream(harness.bus, after=first.position, types=("case.*",))
    assert await take(stream, 1) == ["case.closed"]
    waiting = asyncio.create_task(stream.__anext__())
    await announce(harness, "audit.sealed", "case.opened", key="second")
    assert (await waiting).type == "case.opened"
    with pytest.raises(BadInput, match="only a group acknowledges"):
        await stream.acknowledge(first)


def receiver(*types: str) -> Receiver:
    return Receiver(name="act", url="https://act.example", secret="a-long-secret", types=types)


def forwarder(harness: BrokerHarness, worker: str, *types: str) -> EventForwarder:
    return EventForwarder(
        (receiver(*types),),
        harness.bus,
        harness.broker,
        harness.clock,
        namespace="city",
        worker_id=worker,
    )


async def deliveries(harness: BrokerHarness) -> list[dict[str, str]]:
    where = parse_filter(f"type:{DELIVER}")
    page = await harness.inspection.page(where, limit=0, cursor=None)
    return [decode(job.data)["event"] for job in page.jobs]


async def test_an_event_becomes_one_delivery_whatever_dies_on_the_way(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await announce(harness, "case.opened")
    one, two = (forwarder(harness, worker, "case.*") for worker in ("one", "two"))
    await one.run_once()
    assert await deliveries(harness) == [], "a new receiver is told of what is to come"
    await announce(harness, "case.closed", "audit.sealed")

    async def dies(*_: object) -> None:
        raise RuntimeError("before the acknowledgement")

    with monkeypatch.context() as patched:
        patched.setattr(harness.bus, "acknowledge", dies)
        with pytest.raises(RuntimeError):
            await one.run_once()
    harness.clock.advance(61)
    await two.run_once()
    [told] = await deliveries(harness)
    assert (told["type"], told["source"]) == ("case.closed", "/hms-svc/city")
    harness.clock.advance(61)
    assert await harness.bus.read_group("receiver:act", "three", limit=10) == []


async def test_a_delivery_that_cannot_be_handed_in_again_is_told_in_the_log(
    harness: BrokerHarness, caplog: pytest.LogCaptureFixture
) -> None:
    forward = forwarder(harness, "one", "case.*")
    await forward.run_once()
    await announce(harness, "case.closed")
    [event] = await harness.bus.read(after=0, limit=10)
    delivery = delivery_job(receiver("case.*"), event, "city", AT)
    await harness.enqueue(replace(delivery, data=b'{"erased":true}'))
    await forward.run_once()
    assert f"delivery {delivery.id} exists already, with other data" in caplog.text
    harness.clock.advance(61)
    assert await harness.bus.read_group("receiver:act", "two", limit=10) == []


@pytest.mark.parametrize("group", ["receiver:act", "receiver:", "no spaces", ""])
def test_a_consumer_names_no_group_that_is_ours_or_none(harness: BrokerHarness, group: str) -> None:
    with pytest.raises(BadInput, match="group"):
        EventStream(harness.bus, group=group)


async def test_what_becomes_of_deliveries_is_not_delivered(harness: BrokerHarness) -> None:
    forward = forwarder(harness, "one", "*")
    await forward.run_once()
    await harness.accept(1)
    [job] = await harness.claim()
    await harness.complete(job)
    await forward.run_once()
    for state in (State.RETRYING, State.DEAD):
        [delivery] = await harness.claim(10, DELIVER)
        due_at = harness.clock.now_ms() if state is State.RETRYING else None
        await harness.settle(delivery, state, due_at=due_at)
        await harness.broker.promote(10)
        await forward.run_once()
    assert [told["type"] for told in await deliveries(harness)] == ["job.completed"]
