"""The result bus: durable, replayable, each group sees each event at least once."""

from __future__ import annotations

import json

import pytest

from hms_svc.domain.errors import BadInput
from hms_svc.domain.event import Event, service_event
from hms_svc.operations.bus_positions import newest_position
from tests.support.broker_engines import BrokerHarness, BrokerMaker, ManualClock


def drafts(count: int, start: int = 0) -> list[Event]:
    return [
        service_event(f"job-{n}", "case.opened", "", {"n": n}, 1_800_000_000_000)
        for n in range(start, start + count)
    ]


async def test_published_events_come_back_in_order(harness: BrokerHarness) -> None:
    events = drafts(5)
    await harness.bus.publish(events)
    kept = await harness.bus.read(after=0, limit=3)
    rest = await harness.bus.read(after=kept[-1].position, limit=3)
    assert [event.id for event in kept + rest] == [event.id for event in events]


async def test_an_event_published_twice_is_there_once(harness: BrokerHarness) -> None:
    await harness.bus.publish(drafts(3))
    await harness.bus.publish(drafts(4))
    assert len(await harness.bus.read(after=0, limit=100)) == 4


async def test_each_group_gets_every_event_and_shares_it_among_its_consumers(
    harness: BrokerHarness,
) -> None:
    await harness.bus.publish(drafts(6))
    one = await harness.bus.read_group("act", "one", limit=4)
    two = await harness.bus.read_group("act", "two", limit=4)
    other = await harness.bus.read_group("ops", "one", limit=10)
    assert (len(one), len(two), len(other)) == (4, 2, 6)
    assert {event.id for event in one}.isdisjoint(event.id for event in two)


async def test_a_group_has_a_name(harness: BrokerHarness) -> None:
    for name in ("", "g g", "g\n", "-g", "é", "g" * 129):
        with pytest.raises(BadInput, match="group"):
            await harness.bus.read_group(name, "one", limit=1)


async def test_unacknowledged_events_are_handed_out_again(harness: BrokerHarness) -> None:
    await harness.bus.publish(drafts(3))
    events = await harness.bus.read_group("act", "one", limit=10)
    await harness.bus.acknowledge("act", [events[0].position])
    assert await harness.bus.read_group("act", "two", limit=10) == []
    harness.clock.advance(61)
    again = await harness.bus.read_group("act", "two", limit=10)
    assert [event.id for event in again] == [event.id for event in events[1:]]


async def test_a_new_group_may_begin_at_the_end(harness: BrokerHarness) -> None:
    await harness.bus.publish(drafts(3))
    assert await harness.bus.read_group("late", "one", limit=10, from_start=False) == []
    await harness.bus.publish(drafts(1, start=3))
    assert len(await harness.bus.read_group("late", "one", limit=10)) == 1


async def test_a_group_made_on_an_empty_bus_has_missed_nothing(harness: BrokerHarness) -> None:
    assert await harness.bus.read_group("early", "one", limit=10) == []
    await harness.bus.publish(drafts(1))
    events = await harness.bus.read_group("early", "one", limit=10)
    assert [event.type for event in events] == ["case.opened"]


async def test_a_group_made_on_a_bus_trimmed_bare_has_missed_nothing(
    harness: BrokerHarness,
) -> None:
    await harness.bus.publish(drafts(3))
    harness.clock.wall += 8 * 86_400_000
    await harness.control.trim(limit=100)
    assert await harness.bus.read_group("late", "one", limit=10) == []
    await harness.bus.publish(drafts(1, start=3))
    events = await harness.bus.read_group("late", "one", limit=10)
    assert [event.subject for event in events] == ["job-3"]


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_unacknowledged_events_are_handed_out_again_after_a_reboot(
    make_backend: BrokerMaker, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_backend() as before:
        await before.bus.publish(drafts(1))
        await before.bus.read_group("act", "one", limit=10)
    monkeypatch.setattr("hms_svc.brokers.sqlite.queue_file.boot_id", lambda: "another boot")
    clock.lease = 1_000
    async with make_backend() as after:
        events = await after.bus.read_group("act", "one", limit=10)
    assert [event.subject for event in events] == ["job-0"]


async def test_a_group_that_fell_behind_is_told(harness: BrokerHarness) -> None:
    await harness.bus.publish(drafts(3))
    [first] = await harness.bus.read_group("act", "one", limit=1)
    await harness.bus.acknowledge("act", [first.position])
    harness.clock.wall += 8 * 86_400_000
    await harness.control.trim(limit=100)
    await harness.bus.publish(drafts(1, start=3))
    events = await harness.bus.read_group("act", "one", limit=10)
    assert [event.type for event in events] == ["events.gap", "case.opened"]


async def test_what_was_handed_out_and_trimmed_before_it_was_processed_is_told(
    harness: BrokerHarness,
) -> None:
    await harness.bus.publish(drafts(3))
    first, second, third = await harness.bus.read_group("act", "one", limit=10)
    await harness.bus.acknowledge("act", [second.position])
    harness.clock.advance(8 * 86_400)
    await harness.control.trim(limit=100)
    [gap] = await harness.bus.read_group("act", "two", limit=10)
    assert gap.type == "events.gap"
    assert json.loads(gap.data) == {"group": "act", "from": first.position, "to": third.position}
    assert await harness.bus.read_group("act", "two", limit=10) == []


async def test_a_bus_that_was_emptied_before_it_was_read_is_told(harness: BrokerHarness) -> None:
    await harness.bus.publish(drafts(1))
    [first] = await harness.bus.read_group("act", "one", limit=10)
    await harness.bus.acknowledge("act", [first.position])
    await harness.bus.publish(drafts(2, start=1))
    harness.clock.advance(8 * 86_400)
    await harness.control.trim(limit=100)
    events = await harness.bus.read_group("act", "one", limit=10)
    assert [event.type for event in events] == ["events.gap"]


async def test_wait_ends_when_there_is_an_event(harness: BrokerHarness) -> None:
    assert not await harness.bus.wait(0, timeout_seconds=0.01)
    await harness.bus.publish(drafts(1))
    assert await harness.bus.wait(0, timeout_seconds=10)


async def test_latest_of_a_type(harness: BrokerHarness) -> None:
    assert await harness.bus.latest("case.opened") is None
    events = drafts(3)
    await harness.bus.publish(events)
    latest = await harness.bus.latest("case.opened")
    assert latest is not None
    assert latest.id == events[-1].id


async def test_newest_gives_the_last_events_first(harness: BrokerHarness) -> None:
    assert await harness.bus.newest(3) == []
    await harness.bus.publish([service_event("j", "x", str(n), {"n": n}, n) for n in range(5)])
    every = await harness.bus.read(after=0, limit=10)
    assert await harness.bus.newest(3) == every[:1:-1]
    assert await newest_position(harness.bus) == every[-1].position
