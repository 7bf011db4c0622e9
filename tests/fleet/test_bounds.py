"""What a console asks of Redis: few commands a snapshot, however many types and jobs there are."""

from __future__ import annotations

import pytest

from hms_svc.brokers.redis.link import Link
from hms_svc.domain.causes import OTHER_CAUSES
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act, ActRequest
from tests.support.fleet import TYPE, Fleet

TYPES = tuple(f"type.{number}" for number in range(8))


class Counted:
    """Counts the commands that one link is asked to send."""

    def __init__(self, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        commands = link._commands
        assert commands is not None
        ask, ask_all = commands.ask, commands.ask_all

        async def counted(*words: object) -> object:
            self.names.append(str(words[0]))
            return await ask(*words)  # type: ignore[arg-type]  # any words of a command

        async def all_counted(several: list[list[object]]) -> object:
            self.names += [str(words[0]) for words in several]
            return await ask_all(several)  # type: ignore[arg-type]  # any words of a command

        monkeypatch.setattr(commands, "ask", counted)
        monkeypatch.setattr(commands, "ask_all", all_counted)


@pytest.fixture
async def counted(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Counted:
    """A server with jobs of eight types in several states; scripts are known to it."""
    ends = (State.DEAD, State.REJECTED, State.COMPLETED, State.CANCELLED, State.HELD)
    for type in TYPES:
        await fleet.accept(30, type=type)
        jobs = await fleet.claim(20, type)
        await fleet.broker.settle(
            [fleet.settlement(job, ends[number % 5]) for number, job in enumerate(jobs)]
        )
    await fleet.inspection.page(parse_filter("data.n:1"), limit=0, cursor=None)
    await fleet.inspection.queues()
    await fleet.inspection.failures()
    return Counted(fleet.inspection._link, monkeypatch)  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has


@pytest.mark.parametrize(
    ("where", "found", "most"),
    [
        ("", 100, 2),
        ("state:dead", 32, 3),
        ("type:type.3", 30, 3),
        ("data.n:1", 8, 4),
        ("state:completed -data.n:1", 32, 3),
    ],
)
async def test_a_page_is_a_few_commands(
    fleet: Fleet, counted: Counted, where: str, found: int, most: int
) -> None:
    page = await fleet.inspection.page(parse_filter(where), limit=100, cursor=None)
    assert len(page.jobs) == found
    assert len(counted.names) <= most, counted.names


async def test_a_script_checks_a_bounded_number_of_records_and_bytes(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet.accept(1100)
    counted = Counted(fleet.inspection._link, monkeypatch)  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has
    page = await fleet.inspection.page(parse_filter("data.n:no"), limit=100, cursor=None)
    assert (page.examined, counted.names.count("EVALSHA")) == (1100, 4)
    await fleet.broker.enqueue([fleet.job("x" * 15_000, type="large.one") for _ in range(100)])
    counted.names.clear()
    large = parse_filter("type:large.one data.n:no")
    page = await fleet.inspection.page(large, limit=100, cursor=None)
    assert (page.examined, counted.names.count("EVALSHA")) == (100, 7)


async def test_a_group_is_read_alone_and_an_overview_is_a_few_commands(
    fleet: Fleet, counted: Counted
) -> None:
    [group, *_] = groups = await fleet.inspection.failures()
    assert len(groups) == 2 * len(TYPES)
    page = await fleet.inspection.page(parse_filter(f"cause:{group.id}"), limit=100, cursor=None)
    assert (page.examined, len(page.jobs)) == (4, 4)
    await fleet.inspection.queues()
    await fleet.bus.newest(50)
    assert len(counted.names) <= 12, counted.names


async def test_beyond_a_thousand_groups_new_causes_of_a_type_share_one(fleet: Fleet) -> None:
    strangers = [f"{number:012x}" for number in range(1000)]
    fleet.server.cli("SADD", "hms:default:causes", *strangers)
    await fleet.broker.enqueue_raw(TYPE, [b"[]", b"7", b"null"])
    await fleet.accept()
    [job] = await fleet.claim()
    await fleet.broker.settle([fleet.settlement(job, State.DEAD)])
    [group] = await fleet.inspection.failures()
    assert (group.pattern, group.count, group.type) == (OTHER_CAUSES, 4, TYPE)
    page = await fleet.inspection.page(parse_filter(f"cause:{group.id}"), limit=0, cursor=None)
    assert {view.cause for view in page.jobs} == {group.id}


async def test_many_jobs_and_large_ones_are_portioned(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(fleet.inspection._link, monkeypatch)  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has
    await fleet.accept(2001)
    assert counted.names.count("EVALSHA") == 5
    counted.names.clear()
    large = [fleet.job("x" * 1_000_000, type="large.one") for _ in range(10)]
    await fleet.broker.enqueue(large)
    assert counted.names.count("EVALSHA") == 3
    request = ActRequest(
        act=Act.DISCARD, job_ids=tuple(job.id for job in large), by="ravi", batch="b"
    )
    counted.names.clear()
    assert all(outcome.done for outcome in await fleet.control.act(request))
    assert 2 <= counted.names.count("EVALSHA") <= 4
    undone = await fleet.control.undo("b", limit=50)
    assert [outcome.done for outcome in undone] == [True] * 10
    assert (await fleet.counts("large.one"))["queued"] == 10
