from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hms_svc.brokers.sqlite.broker import SQLiteBroker
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.domain.errors import DeliveryFailed, DuplicateCase, ValidationFailed
from hms_svc.domain.ids import case_id, follow_up_id
from hms_svc.domain.job import ClaimedJob, LeaseToken, make_job
from hms_svc.domain.outcome import Cancel
from hms_svc.governance.local import load_local_policy
from hms_svc.persistence.database import SqlDatabase
from hms_svc.persistence.sqlite_engine import SQLiteEngine
from hms_svc.ports.clock import SystemClock
from hms_svc.sdk.dao import Dao
from hms_svc.sdk.governance_gate import Gate
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.running_job import RunningJob, enter_job
from hms_svc.services import builtin_registry
from hms_svc.services.crew_notify import CrewNotice
from hms_svc.services.drill_run import DrillFailed
from hms_svc.sqlite.file import SQLiteFile
from tests.support.local_http import local_http

REPORT = {"user_id": "usr-44321", "lat": 38.8977, "lon": -77.0365, "photo": "s3://a.jpg"}
Start = Callable[..., RunningJob]
Progress = list[tuple[float | None, str]]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqlDatabase]:
    opened = SqlDatabase(SQLiteEngine(SQLiteFile(tmp_path / "cases.db")), SystemClock())
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def progress() -> Progress:
    return []


@pytest.fixture
def start(database: SqlDatabase, progress: Progress, tmp_path: Path) -> Start:
    """Put a job of the type into the place where its validators and handler look for it."""
    clock = SystemClock()
    dao = Dao(
        cases=database.cases,
        reports=database.reports,
        effects=database.effects,
        clock=clock,
        radius_m=25.0,
        actor="tests",
    )
    gate = Gate(load_local_policy(None))
    broker = SQLiteBroker(QueueFile(tmp_path / "queue.db", clock))

    def begin(declared: JobType, data: dict[str, Any], id: str = "j1") -> RunningJob:
        claimed = ClaimedJob(
            job=make_job(declared.type, data, now_ms=clock.now_ms(), id=id),
            token=LeaseToken(id, 1),
            attempt=1,
            claims=1,
            max_attempts=5,
            give_backs=0,
            claimed_at=clock.now_ms(),
            lease_until=clock.lease_ms() + 60_000,
        )
        job = RunningJob(
            claimed,
            dao=dao,
            gov=gate,
            broker=broker,
            deadline_ms=clock.now_ms() + 60_000,
            expires_ms=clock.lease_ms() + 60_000,
            loop=asyncio.get_running_loop(),
            sink=lambda _, share, message, log: progress.append((share, message)),
        )
        assert declared.payload is not None
        job.payload = declared.payload.model_validate(job.data)
        enter_job(job)
        return job

    return begin


def declared(type: str, **settings: Any) -> JobType:
    found = builtin_registry(**settings).get(type)
    assert found is not None
    return found


async def validate(job_type: JobType, job: RunningJob) -> None:
    for validator in job_type.validators:
        await validator(job.payload)


async def test_a_report_becomes_a_case_with_its_urgency_and_a_notice_to_the_crew(
    start: Start, database: SqlDatabase
) -> None:
    pothole = declared("pothole.report")
    job = start(pothole, REPORT)
    await validate(pothole, job)
    result = await pothole.handler(job)
    (case,), _ = await database.cases.page(status=None, kind=None, limit=10, cursor=None)
    follow_ups = [entry.job for entry in await database.outbox.waiting(10) if entry.job is not None]
    assert (case.id, case.kind, case.urgency) == (case_id("j1", ""), "pothole", result["urgency"])
    assert result["case_id"] == case.id
    (notice,) = follow_ups
    assert (notice.id, notice.type) == (follow_up_id("j1", "crew.notify"), "crew.notify")
    told = CrewNotice.model_validate(notice.payload())
    assert (told.case_id, told.urgency) == (case.id, case.urgency)


async def test_the_same_place_by_another_user_is_a_duplicate_that_names_the_case(
    start: Start,
) -> None:
    pothole = declared("pothole.report")
    first = await pothole.handler(start(pothole, REPORT))
    job = start(pothole, {**REPORT, "user_id": "usr-2", "lat": 38.89775}, id="j2")
    with pytest.raises(DuplicateCase, match=first["case_id"]) as caught:
        await validate(pothole, job)
    assert caught.value.case_id == first["case_id"]


async def test_a_place_out_of_the_radius_is_no_duplicate(start: Start) -> None:
    pothole = declared("pothole.report")
    await pothole.handler(start(pothole, REPORT))
    await validate(pothole, start(pothole, {**REPORT, "lat": 38.8980}, id="j2"))


@pytest.mark.parametrize(
    "user", ["", "ravi", "usr-", "usr-4 4", "USR-1", "usr-1\n", "usr-é", "usr-" + "1" * 33]
)
async def test_an_ill_formed_user_has_no_identity(start: Start, user: str) -> None:
    pothole = declared("pothole.report")
    with pytest.raises(ValidationFailed, match="usr-44321"):
        await validate(pothole, start(pothole, {**REPORT, "user_id": user}))


async def test_a_blocked_user_has_no_identity(start: Start) -> None:
    pothole = declared("pothole.report", blocked_users=("usr-44321",))
    with pytest.raises(ValidationFailed, match="usr-44321 is blocked"):
        await validate(pothole, start(pothole, REPORT))


async def test_the_report_after_the_limit_has_no_identity_and_a_repeated_one_counts_once(
    start: Start,
) -> None:
    pothole = declared("pothole.report", reports_per_hour=2)
    for id in ("j1", "j1", "j2", "j2"):
        await validate(pothole, start(pothole, REPORT, id=id))
    with pytest.raises(ValidationFailed, match="report 3 of usr-44321 within an hour"):
        await validate(pothole, start(pothole, REPORT, id="j3"))


async def test_without_a_webhook_the_notice_is_recorded(start: Start) -> None:
    crew = declared("crew.notify")
    result = await crew.handler(start(crew, {"case_id": "case-1", "urgency": 40}))
    assert (result["delivered"], result["recorded"]) == (False, True)
    assert (result["notice"]["case_id"], result["notice"]["urgency"]) == ("case-1", 40)


async def test_with_a_webhook_the_notice_is_delivered_under_the_id_of_the_job(
    start: Start,
) -> None:
    async with local_http() as told:
        crew = declared(
            "crew.notify",
            webhook_url=told.url,
            webhook_secret="s",
            webhook_allowed_hosts=("127.0.0.1",),
        )
        result = await crew.handler(start(crew, {"case_id": "case-1"}))
    (sent,) = told.received
    assert result == {"delivered": True, "recorded": False, "status": 200}
    assert sent.headers["webhook-id"] == "j1"
    assert json.loads(sent.body) == {"type": "crew.notify", "data": {"case_id": "case-1"}}


async def test_a_refused_delivery_is_an_error(start: Start) -> None:
    crew = declared("crew.notify", webhook_url="http://127.0.0.1:9/", webhook_secret="s")
    with pytest.raises(DeliveryFailed):
        await crew.handler(start(crew, {"case_id": "case-1"}))


async def test_an_analysis_of_numbers_reports_each_step_and_gives_the_statistics(
    start: Start, progress: Progress
) -> None:
    analysis = declared("analysis.run")
    data = {"dataset": "numbers", "values": [4, 1, 3, 2], "steps": 2}
    result = await analysis.handler(start(analysis, data))
    assert progress == [(0.5, "step 1 of 2"), (1.0, "step 2 of 2")]
    assert result == {
        "dataset": "numbers",
        "steps": 2,
        "count": 4,
        "mean": 2.5,
        "standard_deviation": pytest.approx(1.118, abs=0.001),
        "minimum": 1,
        "quartiles": [1.75, 2.5, 3.25],
        "maximum": 4,
    }


async def test_an_analysis_of_places_reads_every_place(start: Start) -> None:
    analysis = declared("analysis.run")
    result = await analysis.handler(start(analysis, {"steps": 7}))
    assert result["count"] > 40
    assert 0 <= result["minimum"] <= result["mean"] <= result["maximum"] < 20_000


@pytest.mark.parametrize("value", [0.0, 7.0])
async def test_one_number_has_statistics_too(start: Start, value: float) -> None:
    analysis = declared("analysis.run")
    data = {"dataset": "numbers", "values": [value], "steps": 5}
    result = await analysis.handler(start(analysis, data))
    assert (result["count"], result["quartiles"]) == (1, [value] * 3)


async def test_a_cancelled_analysis_stops_between_steps(start: Start, progress: Progress) -> None:
    analysis = declared("analysis.run")
    job = start(analysis, {"steps": 5})
    job.cancel_by = "mira"
    assert await analysis.handler(job) == Cancel("stopped after 0 of 5 steps")
    assert progress == []


async def test_a_drill_ends_as_it_is_told(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    drill = declared("drill.run")
    assert await drill.handler(start(drill, {})) == {"act": "succeed", "attempt": 1}
    await drill.handler(start(drill, {"act": "print", "message": "bell"}))
    assert capsys.readouterr().out == "bell\n"
    with pytest.raises(DrillFailed, match="no water"):
        await drill.handler(start(drill, {"act": "fail", "message": "no water"}))
    with pytest.raises(ValidationFailed, match="no water"):
        await drill.handler(start(drill, {"act": "reject", "message": "no water"}))
