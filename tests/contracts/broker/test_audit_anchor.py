"""The heads of the audit chain at the broker: no retention removes them, and nothing replaces them silently."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from hms_svc.domain.audit_heads import DAY_MS, DAYS_KEPT, DOUBTS_KEPT, AuditHead, Doubt, KeptHeads
from tests.support.broker_engines import BrokerHarness, BrokerMaker

NOON = 1_800_000_000_000


def head(link: int, days: int = 0, **fields: object) -> AuditHead:
    made = AuditHead(link=link, digest=f"d{link}" if link else "", at=NOON + days * DAY_MS)
    return replace(made, **fields)


def doubt(number: int) -> Doubt:
    return Doubt(at=NOON + number, link=3, digest="d3", found_link=3, found_digest=f"x{number}")


async def test_nothing_is_kept_at_first(harness: BrokerHarness) -> None:
    assert await harness.bus.audit_anchor.heads() == KeptHeads()


async def test_a_head_is_kept_as_it_was_given(make_backend: BrokerMaker) -> None:
    given = head(7, unproven=3, signature="ab")
    async with make_backend() as one:
        assert await one.bus.audit_anchor.keep(head(0), over=None)
        assert await one.bus.audit_anchor.keep(given, over=head(0))
        async with make_backend() as other:
            assert (await other.bus.audit_anchor.heads()).newest == given


async def test_a_head_is_kept_only_over_the_one_that_the_caller_knew(
    harness: BrokerHarness,
) -> None:
    audit_anchor = harness.bus.audit_anchor
    assert await audit_anchor.keep(head(3), over=None)
    for over in (None, head(2), head(3, digest="x"), head(3, days=1)):
        assert not await audit_anchor.keep(head(5), over=over)
    assert (await audit_anchor.heads()).newest == head(3)


async def test_a_call_that_is_repeated_has_been_done(harness: BrokerHarness) -> None:
    audit_anchor = harness.bus.audit_anchor
    assert await audit_anchor.keep(head(3), over=None)
    assert await audit_anchor.keep(head(3), over=None)
    assert await audit_anchor.heads() == KeptHeads(newest=head(3))


async def test_no_lower_link_and_no_other_digest_takes_its_place(harness: BrokerHarness) -> None:
    audit_anchor = harness.bus.audit_anchor
    await audit_anchor.keep(head(3), over=None)
    assert not await audit_anchor.keep(head(2), over=head(3))
    assert not await audit_anchor.keep(head(3, digest="x", days=1), over=head(3))
    assert await audit_anchor.heads() == KeptHeads(newest=head(3))


async def test_the_last_head_of_each_day_stays_within_a_bound(harness: BrokerHarness) -> None:
    audit_anchor, before = harness.bus.audit_anchor, None
    for link in range(2 * DAYS_KEPT + 10):
        made = head(link, days=link // 2)
        assert await audit_anchor.keep(made, over=before)
        before = made
    kept = await audit_anchor.heads()
    assert kept.newest == before
    last_links = range(9, 2 * DAYS_KEPT + 8, 2)
    assert [each.link for each in kept.daily] == list(last_links)


async def test_two_workers_at_once_leave_one_head(make_backend: BrokerMaker) -> None:
    async with make_backend() as one, make_backend() as other:
        await one.bus.audit_anchor.keep(head(1), over=None)
        answers = await asyncio.gather(
            one.bus.audit_anchor.keep(head(2, signature="a"), over=head(1)),
            other.bus.audit_anchor.keep(head(2, signature="b"), over=head(1)),
        )
        assert sorted(answers) == [False, True]


async def test_retention_does_not_reach_it(harness: BrokerHarness) -> None:
    await harness.bus.audit_anchor.keep(head(3), over=None)
    harness.clock.wall += 400 * DAY_MS
    await harness.control.trim(limit=5000)
    assert (await harness.bus.audit_anchor.heads()).newest == head(3)


async def test_doubts_are_kept_once_and_the_first_ones_stay(harness: BrokerHarness) -> None:
    for number in [*range(DOUBTS_KEPT + 3), 0]:
        await harness.bus.audit_anchor.doubt(doubt(number))
    kept = await harness.bus.audit_anchor.heads()
    assert kept.doubts == tuple(doubt(number) for number in range(DOUBTS_KEPT))


async def test_an_operator_puts_other_heads_in_the_place_of_all(harness: BrokerHarness) -> None:
    audit_anchor = harness.bus.audit_anchor
    await audit_anchor.keep(head(5), over=None)
    await audit_anchor.keep(head(6, days=1), over=head(5))
    await audit_anchor.doubt(doubt(1))
    assert not await audit_anchor.replace(head(2, days=2), [], over=head(5))
    assert await audit_anchor.replace(head(2, days=2), [head(1)], over=head(6, days=1))
    assert await audit_anchor.heads() == KeptHeads(newest=head(2, days=2), daily=(head(1),))


async def write_over(harness: BrokerHarness, name: str, line: str) -> None:
    """Write an entry past the program, as somebody with access to the broker could."""
    audit_anchor = harness.bus.audit_anchor
    if (link := getattr(audit_anchor, "_link", None)) is not None:
        await link.ask("HSET", link.keys.ours("audit", "heads"), name, line)
        return
    await audit_anchor._file.write(  # type: ignore[attr-defined]  # the implementation of SQLite has it
        lambda transaction: transaction.connection.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"audit:{name}", line)
        )
    )


async def test_what_cannot_be_read_is_counted_and_only_an_operator_writes_over_it(
    harness: BrokerHarness,
) -> None:
    audit_anchor = harness.bus.audit_anchor
    for name, line in (("newest", "mine!"), ("day:x", "1 2"), ("doubt:1:x", "")):
        await write_over(harness, name, line)
    assert await audit_anchor.heads() == KeptHeads(unreadable=3)
    assert not await audit_anchor.keep(head(5), over=None)
    assert await audit_anchor.replace(head(5), [], over=None)
    assert await audit_anchor.heads() == KeptHeads(newest=head(5))


async def test_erasing_a_job_called_audit_leaves_what_the_bus_says_of_the_record(
    harness: BrokerHarness,
) -> None:
    from hms_svc.domain.audit_heads import event_of, head_of
    from hms_svc.domain.event import AUDIT_SEALED

    await harness.bus.publish([event_of(head(3), "3:d3")])
    await harness.control.erase(["audit"])
    assert head_of(await harness.bus.latest(AUDIT_SEALED)) == head(3)
