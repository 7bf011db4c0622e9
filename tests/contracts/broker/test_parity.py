"""The filter language means the same on every broker: same jobs, same queries, same ids."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from hms_svc import bootstrap
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import ClaimedJob, Job, make_job
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition, Failure
from hms_svc.operations.reads import Reads
from hms_svc.ports.backend import Backend
from hms_svc.ports.broker import ClaimRequest, ServedType, Settlement
from hms_svc.ports.control import Act, ActRequest
from hms_svc.settings import Settings
from tests.support.broker_engines import LEASE_MS, FakeClients, ManualClock, redis_settings, seen_of
from tests.support.redis_server import RedisServer

TYPES = ("crew.notify", "drill.run", "pothole.photo", "pothole.report")
NUMBERS = range(60)
QUERIES = (
    "",
    "state:dead",
    "state:rejected,held",
    "-state:queued",
    "state:queued OR state:scheduled",
    "type:pothole.*",
    "type:crew.notify,drill.run state:queued",
    "-type:*.report",
    "id:job-7,job-8,job-59,nobody",
    "id:job-1*",
    "id~B-3",
    "validator:duplicate",
    "validator:dup* -by:ravi",
    "reason:error",
    "reason:governance state:rejected",
    "by:ravi",
    'detail~"stands 2"',
    "error~TIMEOUT",
    "error:OSError",
    "worker:worker-1",
    "unique_key:k*",
    "case:case-7",
    "attempts>0 attempts<=1",
    "priority>0",
    "age>30m",
    "suspect:no state:processing",
    "data.ward:7",
    "data.depth>40 data.depth<=50",
    'data.street:"Sutter St" OR data.tags.1:deep',
    "(state:dead error~disk) OR (type:crew.* data.ward<3)",
    "upstream -state:retrying",
    "NOT (state:queued AND data.ward>2)",
)


def jobs_at(clock: ManualClock) -> list[Job]:
    """Sixty jobs whose fields and payloads follow from their numbers."""
    return [
        make_job(
            TYPES[number % 4],
            {
                "ward": number % 9,
                "depth": number,
                "street": "Sutter St" if number % 5 == 0 else "Pine St",
                "tags": ["wet", "deep" if number % 7 == 0 else "flat"],
            },
            id=f"job-{number}",
            now_ms=clock.now_ms() - number * 60_000,
            priority=number % 3 - 1,
            unique_key=f"k{number}" if number % 10 == 0 else None,
            not_before=clock.now_ms() + 3_600_000 if number % 12 == 11 else None,
        )
        for number in NUMBERS
    ]


def end_of(number: int, clock: ManualClock) -> Disposition | None:
    """What becomes of a claimed job, by its number; None where it stays with its worker."""
    disk = Failure("OSError", f"disk {number} is full")
    slow = Failure("Timeout", f"upstream took {number} s")
    ends = (
        Disposition(state=State.COMPLETED, trigger=Trigger.FINISHED, case_id=f"case-{number}"),
        Disposition(
            state=State.DEAD,
            trigger=Trigger.FAILED,
            reason="error",
            by="handler",
            detail="no",
            failure=disk,
        ),
        Disposition(
            state=State.REJECTED,
            trigger=Trigger.REFUSED,
            reason="duplicate",
            by="duplicate",
            detail=f"case stands {number % 4}.1 m away",
        ),
        Disposition(
            state=State.RETRYING,
            trigger=Trigger.FAILED,
            reason="error",
            by="handler",
            failure=slow,
            delay_ms=60_000,
        ),
        Disposition(
            state=State.HELD,
            trigger=Trigger.REFUSED,
            reason="governance",
            by="night",
            hold=("create_case", "night", "d"),
        ),
        Disposition(
            state=State.DEAD, trigger=Trigger.FAILED, reason="timeout", by="runtime", failure=slow
        ),
        None,
    )
    return ends[number % 7]


def settlement(job: ClaimedJob, done: Disposition, clock: ManualClock) -> Settlement:
    return Settlement(
        token=job.token,
        type=job.job.type,
        disposition=done,
        worker="worker-1",
        attempt=job.attempt,
        started_at=job.claimed_at,
        ended_at=clock.now_ms(),
    )


async def live(backend: Backend, clock: ManualClock) -> Reads:
    """Let a broker see the same sixty lives as every other; return what operators read of it."""
    jobs = jobs_at(clock)
    await backend.broker.enqueue(jobs[:45])
    for type in TYPES:
        request = ClaimRequest("worker-1", (ServedType(type, 3),), 60, LEASE_MS)
        claimed = await backend.broker.claim(request)
        ends = [(job, end_of(int(job.job.id[4:]), clock)) for job in claimed]
        await backend.broker.settle(
            [settlement(job, done, clock) for job, done in ends if done is not None]
        )
    await backend.broker.enqueue(jobs[45:])
    for act, ids in ((Act.CANCEL, ("job-57", "job-58")), (Act.DENY, ("job-4", "job-18"))):
        seen = await seen_of(backend.inspection, ids)
        await backend.control.act(ActRequest(act=act, job_ids=ids, by="ravi", note="no", seen=seen))
    return Reads(inspection=backend.inspection, bus=backend.bus, database=None, clock=clock)


@pytest.fixture
async def reads_of_all(
    settings: Settings, clock: ManualClock, redis_server: RedisServer
) -> AsyncIterator[dict[str, Reads]]:
    """The same lives on every broker."""
    fake = redis_settings(settings, "redis://fake/0")
    link = Link(fake.broker, fake.namespace, FakeClients(), clock)
    async with AsyncExitStack() as stack:
        backends = {
            "sqlite": bootstrap.backend(settings, clock),
            "fakeredis": bootstrap.redis_backend(fake, link),
            "redis": bootstrap.backend(redis_settings(settings, redis_server.url()), clock),
        }
        yield {
            name: await live(await stack.enter_async_context(backend), clock)
            for name, backend in backends.items()
        }


async def ids_of(reads: Reads, where: str, limit: int) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await reads.jobs(parse_filter(where), limit=limit, cursor=cursor)
        found += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            return sorted(found)


async def test_thirty_queries_find_the_same_jobs_on_every_broker(
    reads_of_all: dict[str, Reads],
) -> None:
    groups = [group.id for group in await reads_of_all["sqlite"].failures()]
    queries = [*QUERIES, *(f"cause:{group}" for group in groups)]
    found = {
        name: {where: await ids_of(reads, where, 40) for where in queries}
        for name, reads in reads_of_all.items()
    }
    assert [where for where, ids in found["sqlite"].items() if not ids] == []
    assert len(found["sqlite"][""]) == len(NUMBERS)
    assert found["fakeredis"] == found["sqlite"]
    assert found["redis"] == found["sqlite"]


async def test_failure_groups_are_the_same_on_every_broker(reads_of_all: dict[str, Reads]) -> None:
    groups = {
        name: sorted((group.id, group.count, group.pattern, group.recent) for group in found)
        for name, reads in reads_of_all.items()
        if (found := await reads.failures())
    }
    assert len(groups["sqlite"]) > 5
    assert groups["fakeredis"] == groups["redis"] == groups["sqlite"]
