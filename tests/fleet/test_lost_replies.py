"""The answer is lost after the server has acted: the call is repeated, and nothing is there twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from hms_svc import bootstrap
from hms_svc.brokers.redis.scripts import script
from hms_svc.domain.batches import NewBatch
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.event import service_event
from hms_svc.domain.lifecycle import State
from hms_svc.ports.broker import Acceptance, ProgressReport
from hms_svc.ports.control import Act, ActRequest, ClosedBatch
from hms_svc.ports.key_claims import KeyClaim
from hms_svc.settings import Settings
from tests.support.broken_submissions import leave_open
from tests.support.fleet import TYPE, Fleet, settings_for
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer

ROUNDS = 5


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
async def cut(settings: Settings, redis_server: RedisServer, proxy: Proxy) -> AsyncIterator[Fleet]:
    """A process that reaches Redis through the proxy."""
    url = redis_server.url(port=proxy.port)
    async with bootstrap.backend(settings_for(settings, url)) as backend:
        yield Fleet(backend, redis_server)


def lose_reply(proxy: Proxy, name: str) -> None:
    """Cut when the server has run this script once more."""
    proxy.cut_after_reply(matching=script(name).digest.encode())


async def warm(fleet: Fleet, *names: str) -> None:
    """Load the scripts, so that the first call is the one that is cut."""
    for name in names:
        fleet.server.cli("SCRIPT", "LOAD", script(name).text)


@pytest.mark.parametrize("round", range(ROUNDS))
async def test_enqueue(cut: Fleet, proxy: Proxy, round: int) -> None:
    await warm(cut, "enqueue")
    lose_reply(proxy, "enqueue")
    answers = await cut.broker.enqueue([cut.job({"n": n}) for n in range(round + 1)])
    assert not proxy.armed
    assert {answer.acceptance for answer in answers} == {Acceptance.ACCEPTED}
    assert await cut.counts() == {"queued": round + 1}
    assert int(cut.server.cli("HGET", f"stats:{TYPE}", "accepted")) == round + 1


async def test_refusal_of_bytes(cut: Fleet, proxy: Proxy) -> None:
    await warm(cut, "refuse")
    lose_reply(proxy, "refuse")
    await cut.broker.enqueue_raw(TYPE, [b"garbage"])
    assert not proxy.armed
    assert await cut.counts() == {"dead": 1}
    assert len(await cut.bus.read(after=0, limit=10)) == 1


@pytest.mark.parametrize("round", range(ROUNDS))
async def test_claim_gives_what_it_gave(cut: Fleet, proxy: Proxy, round: int) -> None:
    ids = await cut.accept(4)
    await warm(cut, "claim")
    lose_reply(proxy, "claim")
    jobs = await cut.claim(3)
    assert not proxy.armed
    assert [job.job.id for job in jobs] == ids[:3]
    assert {(job.attempt, job.claims) for job in jobs} == {(1, 1)}
    assert await cut.counts() == {"processing": 3, "queued": 1}
    await cut.complete(*jobs)


@pytest.mark.parametrize("round", range(ROUNDS))
async def test_settle_is_told_as_done(cut: Fleet, proxy: Proxy, round: int) -> None:
    await cut.accept(3)
    jobs = await cut.claim()
    await warm(cut, "settle")
    lose_reply(proxy, "settle")
    await cut.complete(*jobs)
    assert not proxy.armed
    assert await cut.counts() == {"completed": 3}
    assert len(await cut.bus.read(after=0, limit=10)) == 3
    assert int(cut.server.cli("HGET", f"stats:{TYPE}", "completed")) == 3


async def test_keys_are_taken_once_and_told_again(cut: Fleet, proxy: Proxy) -> None:
    ids = await cut.accept(2)
    jobs = await cut.claim()
    await warm(cut, "take_keys")
    lose_reply(proxy, "take_keys")
    holders = await cut.broker.take_keys([KeyClaim(job, "ward-7") for job in jobs])
    assert not proxy.armed
    assert holders == [ids[0], ids[0]]
    await cut.complete(*jobs)


async def test_intake_takes_each_of_two_equal_items_once(cut: Fleet, proxy: Proxy) -> None:
    cut.server.cli("LPUSH", f"jobs:{TYPE}", b'{"data":{}}')
    await warm(cut, "absorb")
    lose_reply(proxy, "absorb")
    await cut.broker.reap(10)
    cut.server.cli("LPUSH", f"jobs:{TYPE}", b'{"data":{}}')
    await cut.broker.reap(10)
    assert not proxy.armed
    assert await cut.counts() == {"queued": 2}


@pytest.mark.parametrize("act", [Act.CANCEL, Act.DISCARD])
async def test_an_act_on_a_waiting_job(cut: Fleet, proxy: Proxy, act: Act) -> None:
    [job_id] = await cut.accept()
    await warm(cut, "act")
    lose_reply(proxy, "act")
    request = ActRequest(act=act, job_ids=(job_id,), by="ravi", batch="b1")
    [outcome] = await cut.control.act(request)
    assert not proxy.armed
    assert (outcome.done, outcome.why) == (True, "")


async def test_an_operators_retry_starts_one_run(cut: Fleet, proxy: Proxy) -> None:
    [job_id] = await cut.accept()
    [job] = await cut.claim()
    await cut.broker.settle([cut.settlement(job, State.DEAD)])
    await warm(cut, "act")
    lose_reply(proxy, "act")
    [outcome] = await cut.control.act(ActRequest(act=Act.RETRY, job_ids=(job_id,), by="ravi"))
    assert (outcome.done, proxy.armed) == (True, False)
    assert await cut.counts() == {"queued": 1}


async def test_undo(cut: Fleet, proxy: Proxy) -> None:
    [job_id] = await cut.accept()
    request = ActRequest(act=Act.DISCARD, job_ids=(job_id,), by="ravi", batch="b1")
    await cut.control.act(request)
    await warm(cut, "undo")
    lose_reply(proxy, "undo")
    [outcome] = await cut.control.undo("b1")
    assert (outcome.job_id, outcome.done, proxy.armed) == (job_id, True, False)
    assert await cut.counts() == {"queued": 1}


async def test_the_close_of_a_batch(cut: Fleet, proxy: Proxy) -> None:
    batch = NewBatch(id="wards", members=(cut.job(), cut.job()), follow_ups=(cut.job(type="x.z"),))
    await leave_open(cut.broker, batch)
    [job] = await cut.claim()
    await cut.complete(job)
    await warm(cut, "close_batch")
    lose_reply(proxy, "close_batch")
    assert await cut.control.close_batch("wards", by="ann") == ClosedBatch("", 1, 1)
    assert not proxy.armed
    assert await cut.counts("x.z") == {"queued": 1}


async def test_publish(cut: Fleet, proxy: Proxy) -> None:
    events = [service_event(f"job-{n}", "case.opened", "", {}, 1) for n in range(3)]
    await warm(cut, "publish")
    lose_reply(proxy, "publish")
    await cut.bus.publish(events)
    assert not proxy.armed
    assert len(await cut.bus.read(after=0, limit=10)) == 3


async def test_progress(cut: Fleet, proxy: Proxy) -> None:
    [job_id] = await cut.accept()
    [job] = await cut.claim()
    await warm(cut, "progress")
    lose_reply(proxy, "progress")
    lines = [ProgressReport(job.token, 1, 0.5, "half"), ProgressReport(job.token, 2, 1.0, "all")]
    await cut.broker.record_progress(lines)
    assert not proxy.armed
    found = (await cut.inspection.progress_of({job_id: 0}))[job_id]
    assert [line.message for line in found] == ["half", "all"]


async def test_promote_and_reap(cut: Fleet, proxy: Proxy) -> None:
    await cut.accept(not_before=1)
    [job] = await cut.claim(lease_ms=1)
    await warm(cut, "reap")
    cut.server.cli("ZADD", f"hms:default:processing:{TYPE}", 1, job.job.id)
    lose_reply(proxy, "reap")
    await cut.broker.reap(10)
    assert not proxy.armed
    assert await cut.counts() == {"queued": 1}
    detail = await cut.detail(job.job.id)
    assert detail is not None
    assert len(detail.attempts) == 1


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls give up at their first lost reply."""
    monkeypatch.setattr("hms_svc.brokers.redis.link._TRIES", 1)


@pytest.mark.usefixtures("impatient")
async def test_a_claim_that_gave_up_is_asked_for_again(cut: Fleet, proxy: Proxy) -> None:
    [job_id] = await cut.accept()
    await warm(cut, "claim")
    lose_reply(proxy, "claim")
    with pytest.raises(BrokerUnavailable):
        await cut.claim()
    assert await cut.counts() == {"processing": 1}
    [job] = await cut.claim()
    assert (job.job.id, job.attempt) == (job_id, 1)


@pytest.mark.usefixtures("impatient")
async def test_a_settlement_that_gave_up_is_not_refused_when_it_comes_again(
    cut: Fleet, proxy: Proxy
) -> None:
    await cut.accept()
    [job] = await cut.claim()
    await warm(cut, "settle")
    lose_reply(proxy, "settle")
    with pytest.raises(BrokerUnavailable):
        await cut.complete(job)
    await cut.complete(job)
    assert await cut.counts() == {"completed": 1}
    assert len(await cut.bus.read(after=0, limit=10)) == 1


@pytest.mark.usefixtures("impatient")
async def test_an_outage_between_the_two_steps_of_a_settlement_refuses_nobody(
    cut: Fleet, proxy: Proxy
) -> None:
    """The second step is for a job that somebody has asked to cancel."""
    ids = await cut.accept(2)
    jobs = await cut.claim()
    await cut.control.act(ActRequest(act=Act.CANCEL, job_ids=(ids[1],), by="ravi"))
    batch = [cut.settlement(jobs[0]), cut.settlement(jobs[1], State.RETRYING)]
    await warm(cut, "settle")
    proxy.cut_before(2, script("settle").digest.encode())
    with pytest.raises(BrokerUnavailable):
        await cut.broker.settle(batch)
    assert not proxy.armed
    assert await cut.broker.settle(batch) == []
    assert await cut.counts() == {"completed": 1, "cancelled": 1}
