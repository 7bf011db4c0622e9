"""A small installation with something of everything in it, the same in every run but for ids and times."""

from __future__ import annotations

from msgspec.structs import replace

from hms_svc.domain.batches import NewBatch
from hms_svc.domain.job import make_job
from hms_svc.domain.job_limits import Limit
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Failure
from hms_svc.domain.strict_json import encode
from hms_svc.domain.views import WorkerRequest, WorkerState
from hms_svc.ports.broker import WorkerRegistration
from hms_svc.ports.schedules import DueRuns
from tests.support.api import NOTICE, POTHOLE, ApiService
from tests.support.broken_submissions import leave_open
from tests.support.database_requests import effect

CLOUD_EVENT = {"source": "/agencies/water", "id": "evt-1", "extensions": {"district": "north"}}
BOOM = Failure("ValueError", "crew 7 is unknown", "Traceback (most recent call last):\n  boom")
CRON = "0 3 * * *"
DAY_MS = 86_400_000
QUIET = WorkerRequest(WorkerState.QUIET, "ann", "the host is replaced", 1_767_268_800_000)


async def build(service: ApiService) -> None:
    """Fill a server that is empty: jobs in each state, workers, a schedule, a case, pauses."""
    await _register(service)
    await _end_jobs(service)
    await _leave_jobs(service)
    await _leave_batch(service)
    await _leave_batch_open(service)
    await service.api.reads.database.effects.commit([replace(effect("done-1"), fence=1)])
    actions = service.api.operations("ann").actions
    await actions.pause("analysis.run", reason="the model is replaced")
    await actions.pause("unserved.type", reason="until Monday", intake=True)


async def _keep_a_schedule(service: ApiService) -> None:
    """Have a schedule with a skipped run and one that began, and pause it."""
    broker, now = service.backend.broker, service.api.reads.now_ms()
    missed = make_job("crew.notify", NOTICE, now_ms=now, not_before=now - DAY_MS)
    data = encode(NOTICE).decode()
    due = DueRuns(type="crew.notify", cron=CRON, catch_up=0, data=data, jobs=(missed,))
    await broker.decide_runs([due])
    await broker.run_now(make_job("crew.notify", NOTICE, now_ms=now, id="queued-1"))
    await service.backend.control.pause_schedule("crew.notify", by="ann", reason="a strike")


async def _register(service: ApiService) -> None:
    heart = service.backend.broker.lease_keeper()
    shown = WorkerRegistration(
        id="host-1-100-w1",
        host="host-1",
        pid=101,
        slots=4,
        busy=1,
        hung=1,
        started_at=1_767_268_800_000,
        types=("analysis.run", "crew.notify", "pothole.report"),
        schedules=(("crew.notify", CRON),),
        type_slots=(("analysis.run", 2),),
        limits=(("analysis.run", (Limit(5), Limit(100, 60_000))),),
    )
    heart.register(shown)
    heart.register(
        replace(shown, id="host-2-200-w1", host="host-2", pid=201, busy=0, hung=0, schedules=())
    )
    heart.close()
    await service.backend.control.ask_worker("host-2-200-w1", QUIET)


async def _post(service: ApiService, *ids: str, type: str = "crew.notify", **more: object) -> None:
    data = POTHOLE if type == "pothole.report" else NOTICE
    jobs = [{"id": id, "type": type, "data": data, **more} for id in ids]
    answer = await service.client.post("/jobs", json=jobs)
    assert answer.status_code == 202, answer.text


async def _end_jobs(service: ApiService) -> None:
    """Run jobs one after the other, so that each is claimed alone and ends in its own way."""
    await _post(
        service,
        "done-1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        tracestate="vendor=1",
        meta={"cloudevent": CLOUD_EVENT},
        x_origin="a field that nobody knows",
        priority=5,
        max_attempts=4,
        unique_key="crew-7",
    )
    [job] = await service.claim()
    await service.report(job, "called the crew", "on its way")
    await service.report(job, "a line of the log", log=True)
    await service.settle(job, log="printed by the handler", case_id="case-1")
    for job_id in ("dead-1", "dead-2", "dead-3"):
        await _post(service, job_id)
        [job] = await service.claim()
        await service.settle(
            job, State.DEAD, reason="error", by="handler", detail=BOOM.message, failure=BOOM
        )
    await _post(service, "rejected-1", type="pothole.report")
    [job] = await service.claim("pothole.report")
    await service.settle(
        job, State.REJECTED, reason="duplicate", by="duplicates", detail="case-1 stands near by"
    )
    for job_id in ("held-1", "held-2"):
        await _post(service, job_id)
        [job] = await service.claim()
        await service.settle(
            job,
            State.HELD,
            reason="governance",
            by="large-jobs",
            detail="ask the engineer",
            hold=("case.open", "large-jobs", "digest-1"),
        )
    await _post(service, "retrying-1")
    [job] = await service.claim()
    await service.settle(job, State.RETRYING, delay_ms=600_000, failure=BOOM)
    await service.backend.broker.enqueue_raw("foreign.push", [b"no job at all"])
    assert await service.claim("foreign.push") == []


async def _leave_batch(service: ApiService) -> None:
    """Leave a batch of which one of two members has ended."""
    now = service.api.reads.now_ms()
    members = tuple(make_job("crew.call", NOTICE, now_ms=now, id=f"member-{n}") for n in (1, 2))
    follow_up = make_job("crew.notify", NOTICE, now_ms=now, id="then-1")
    batch = NewBatch(id="wards", members=members, follow_ups=(follow_up,), created_at=now, by="ann")
    await service.backend.broker.enqueue_batch(batch.with_its_id())
    for job in await service.claim("crew.call", 1):
        await service.settle(job)


async def _leave_batch_open(service: ApiService) -> None:
    """Leave a batch of which only one of three members is accepted, which waits."""
    now = service.api.reads.now_ms()
    members = tuple(make_job("crew.call", NOTICE, now_ms=now, id=f"part-{n}") for n in (1, 2, 3))
    follow_up = make_job("crew.notify", NOTICE, now_ms=now, id="then-2")
    batch = NewBatch(id="left", members=members, follow_ups=(follow_up,), created_at=now, by="ann")
    await leave_open(service.backend.broker, batch)


async def _leave_jobs(service: ApiService) -> None:
    """Leave jobs that have not ended: running, waiting, and waiting for a time."""
    await _post(service, "running-1")
    [job] = await service.claim()
    await service.report(job, "half of it")
    await _post(service, "queued-1", "queued-2", "queued-3")
    await _post(service, "later-1", not_before="2099-01-01T00:00:00Z")
    await _post(service, "cancelled-1", "discarded-1")
    answer = await service.client.post("/jobs/cancelled-1/cancel", json={"note": "called off"})
    assert answer.status_code == 200, answer.text
    await _post(service, "paused-1", type="analysis.run")
    await _keep_a_schedule(service)
