"""The table of keys is what a busy server holds: no key without its row, no row without its key."""

from __future__ import annotations

import asyncio
import re

from msgspec.structs import replace

from hms_svc.brokers.redis import job_calls
from hms_svc.brokers.redis.acceptance import batch_row
from hms_svc.brokers.redis.healer import Healer
from hms_svc.brokers.redis.keys import FAMILIES
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.audit_heads import AuditHead
from hms_svc.domain.batches import NewBatch
from hms_svc.domain.event import service_event
from hms_svc.domain.job_limits import KeyedLimit, Limit
from hms_svc.domain.uniqueness import UniqueRule
from hms_svc.domain.views import WorkerRequest, WorkerState
from hms_svc.ports.broker import Acceptance, EnqueuedBatch, ProgressReport, WorkerRegistration
from hms_svc.ports.control import BATCH_IS_WHOLE, Act, ActRequest, SeenClaim
from hms_svc.ports.key_claims import PlaceClaim
from hms_svc.ports.schedules import DueRuns
from hms_svc.ports.step_results import StepRecord
from tests.support.fleet import TYPE, Fleet

from .test_deleted_keys import every_state

PATTERNS = {
    family: re.compile(
        re.sub(
            r"\\\{(\w+)\\\}",
            lambda found: "default" if found[1] == "ns" else r"[^:]+",
            re.escape(family.name),
        )
        + r"$"
    )
    for family in FAMILIES
}
PASSING = {"hms:{ns}:taken:{type}", "jobs:{type}", "hms:{ns}:healing"}
"""Held for a moment only: between a push and its record."""


def healer_of(fleet: Fleet) -> Healer:
    healer: Healer = fleet.broker._healer  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has
    return healer


async def be_busy(fleet: Fleet) -> None:
    one = await every_state(fleet)
    fleet.server.cli("LPUSH", "jobs:left.alone", b'{"data":{}}')
    await fleet.broker.enqueue([fleet.job(unique_key="k")])
    window = UniqueRule("window", window_ms=60_000)
    await fleet.broker.enqueue([replace(fleet.job(unique_key="w"), unique=window)])
    await fleet.broker.reap(100)
    fleet.server.cli("LPUSH", "jobs:left.alone", b'{"data":{}}')
    await fleet.accept(type="rescued.job")
    [job] = await fleet.claim(1, "rescued.job", worker="gone")
    await fleet.broker.abandon("gone")
    await fleet.broker.record_progress([ProgressReport(job.token, 1, 0.5, "half")])
    await fleet.broker.keep_steps([StepRecord(job.token, "first", b"1")])
    await fleet.broker.reap(1)
    cancel = ActRequest(act=Act.CANCEL, job_ids=(one["processing"],), by="ravi")
    await fleet.control.act(cancel)
    discard = ActRequest(act=Act.DISCARD, job_ids=(one["queued"],), by="ravi", batch="b")
    await fleet.control.act(discard)
    await fleet.bus.publish([service_event("x", "case.opened", "", {}, 1)])
    await fleet.bus.read_group("act", "one", limit=5)
    await fleet.bus.audit_anchor.keep(AuditHead(link=1, digest="d", at=1), over=None)
    lease_keeper = fleet.broker.lease_keeper()
    lease_keeper.register(
        WorkerRegistration(
            id="worker-1", host="h", pid=1, slots=1, busy=0, types=(TYPE,), started_at=1
        )
    )
    lease_keeper.close()
    await fleet.control.ask_worker("worker-1", WorkerRequest(WorkerState.QUIET, "ravi", "", 1))
    async with asyncio.timeout(30):
        while fleet.broker._idle_waiter.must_poll:  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has
            await fleet.broker.wait_for_work(0.01)
    await fleet.broker.decide_runs([DueRuns(type=TYPE, cron="0 3 * * *")])
    await wait_for_a_limit(fleet)
    batch = NewBatch(id="wards", members=(fleet.job(),), follow_ups=(fleet.job(),))
    await fleet.broker.enqueue_batch(batch.with_its_id())
    await leave_a_batch_open(fleet)
    await fleet.claim(1, "left.empty")
    await fleet.broker.wait_for_work(0.2)


async def leave_a_batch_open(fleet: Fleet) -> None:
    """Submit the first members of a batch, as a producer that dies then."""
    batch = NewBatch(id="left-open", members=(fleet.job(), fleet.job())).with_its_id()
    first = [batch_row(batch.members[0])]
    call = job_calls.enqueue_batch(batch, first, (), is_first=True, is_last=False)
    link: Link = fleet.broker._link  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has
    answer, _ = await link.run_reported(call)
    assert answer == EnqueuedBatch(Acceptance.ACCEPTED)


async def wait_for_a_limit(fleet: Fleet) -> None:
    """Have one job run and one wait for a limit of running jobs, and one count for a rate."""
    await fleet.accept(3, type="limited.job")
    one, two, three = await fleet.claim(3, "limited.job")
    running, rate = KeyedLimit("aa", "1", Limit(1)), KeyedLimit("bb", "9", Limit(9, 60_000))
    claims = [PlaceClaim(job, (running,), 30_000) for job in (one, two)]
    claims.append(PlaceClaim(three, (rate,), 30_000))
    assert await fleet.broker.take_places(claims) == [True, False, True]


async def test_every_key_has_its_row_and_every_row_its_key(fleet: Fleet) -> None:
    await be_busy(fleet)
    kinds = {}
    for name in fleet.server.keys("*"):
        families = [family for family, pattern in PATTERNS.items() if pattern.match(name)]
        assert len(families) == 1, f"{name}: rows {[family.name for family in families]}"
        kinds[families[0].name] = (families[0].kind, fleet.server.cli("TYPE", name).decode())
    assert all(said == found for said, found in kinds.values()), kinds
    missing = {family.name for family in FAMILIES} - kinds.keys() - PASSING
    assert not missing


async def test_what_has_a_lifetime_ends_by_itself(fleet: Fleet) -> None:
    await be_busy(fleet)
    lasting = fleet.server.lasting_keys()
    for mortal in (
        "hms:default:claims:",
        "hms:default:reply:",
        "hms:default:progress:",
        "hms:default:steps:",
        "hms:default:undo:",
        "hms:default:bus:group:",
    ):
        assert fleet.server.keys(mortal + "*"), mortal
        assert not [name for name in lasting if name.startswith(mortal)], mortal


async def test_tallies_and_indexes_agree_whatever_happens(fleet: Fleet) -> None:
    await be_busy(fleet)
    assert not await healer_of(fleet).must_walk()
    await fleet.accept(3, expires_at=1)
    await fleet.claim()
    seen = {
        job_id: SeenClaim(fence) for job_id, fence in await fleet.control.waiting(TYPE, limit=100)
    }
    purge = ActRequest(act=Act.CANCEL, job_ids=tuple(seen), by="ravi", note="purged", seen=seen)
    await fleet.control.act(purge)
    await fleet.control.undo("b")
    await fleet.broker.promote(100)
    await fleet.control.trim(limit=100)
    await fleet.control.bury_unserved(older_than=4_000_000_000_000, limit=100)
    assert not await healer_of(fleet).must_walk()


async def test_the_records_of_a_database_that_was_empty_are_not_walked(fleet: Fleet) -> None:
    await fleet.accept(3)
    assert not await healer_of(fleet).must_walk()


async def test_the_records_of_a_database_with_other_keys_are_walked_once(fleet: Fleet) -> None:
    fleet.server.cli("SET", "another:program", "1")
    await fleet.accept(3)
    assert await healer_of(fleet).must_walk()
    fleet.server.cli("DEL", "hms:default:healing")
    await healer_of(fleet).run_once()
    assert not await healer_of(fleet).must_walk()


async def test_closing_a_batch_that_is_whole_takes_it_from_the_open_ones(fleet: Fleet) -> None:
    await fleet.broker.enqueue_batch(NewBatch(id="b", members=(fleet.job(),)).with_its_id())
    fleet.server.cli("ZADD", "hms:default:open-batches", "1", "b")
    closed = await fleet.control.close_batch("b", by="ann")
    assert closed.why == BATCH_IS_WHOLE
    assert not fleet.server.cli("ZCARD", "hms:default:open-batches")
