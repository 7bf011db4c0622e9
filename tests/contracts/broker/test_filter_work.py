"""Pages over large records: bounded, and complete when their cursors are followed."""

from __future__ import annotations

from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from tests.support.broker_engines import BrokerHarness

LARGE = {"b": "É" * 300_000}
MANY_TERMS = " OR ".join(f"data.b~z{number}" for number in range(200))


async def followed(harness: BrokerHarness, where: str, *, limit: int = 1000) -> list[list[str]]:
    """Return the ids of each page until there is no cursor."""
    pages, cursor = [], None
    while True:
        page = await harness.inspection.page(
            parse_filter(where), limit=limit, cursor=cursor, examine=20_000
        )
        pages.append([job.id for job in page.jobs])
        cursor = page.cursor
        if cursor is None:
            return pages


async def large(harness: BrokerHarness, count: int) -> list[str]:
    jobs = [harness.job(LARGE) for _ in range(count)]
    await harness.broker.enqueue(jobs)
    return [job.id for job in jobs]


async def test_a_costly_filter_is_answered_in_pages_that_look_at_all(
    harness: BrokerHarness,
) -> None:
    ids = await large(harness, 9)
    pages = await followed(harness, f"{MANY_TERMS} OR id:{ids[0]} OR detail~nowhere")
    assert len(pages) > 1
    assert [id for page in pages for id in page] == ids[:1]


async def test_large_records_are_read_few_at_a_time_and_all_found(harness: BrokerHarness) -> None:
    ids = await large(harness, 30)
    ended = 0
    while ended < 15:
        for job in await harness.claim(15 - ended):
            await harness.settle(job, State.DEAD, reason="error")
            ended += 1
    pages = await followed(harness, "")
    assert len(pages) > 1
    assert sorted(id for page in pages for id in page) == sorted(ids)
    [group] = await harness.inspection.failures()
    pages = await followed(harness, f"cause:{group.id}")
    assert len([id for page in pages for id in page]) == 15


async def test_many_ids_are_looked_up_a_few_at_a_time(harness: BrokerHarness) -> None:
    ids = sorted(await harness.accept(25))
    where = "id:" + ",".join(["nobody", *ids])
    pages = await followed(harness, where, limit=4)
    assert [id for page in pages for id in page] == ids
