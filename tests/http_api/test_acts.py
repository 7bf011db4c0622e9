"""What operators do and read over HTTP: on record under their names, in the shapes that are told."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from hms_svc.domain.batches import NewBatch
from hms_svc.domain.errors import DatabaseUnavailable
from hms_svc.domain.ids import case_id
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import WorkerState
from hms_svc.operations.answers.batches import BatchAnswer, BatchPageAnswer
from hms_svc.operations.answers.jobs import (
    Explanation,
    FailureList,
    JobDetailAnswer,
    JobPageAnswer,
)
from hms_svc.operations.answers.records import AuditPageAnswer, CaseAnswer, CasePageAnswer
from hms_svc.operations.answers.schedules import ScheduleList
from hms_svc.operations.answers.service import (
    QueueList,
    StatusAnswer,
    WorkerList,
)
from hms_svc.operations.tokens import Scope
from hms_svc.persistence.audit import SqlAudit
from hms_svc.ports.broker import WorkerRegistration
from tests.support.api import NOTICE, ApiService
from tests.support.database_requests import effect

CASE = case_id("maker-1", "")


class Operator:
    """Somebody with a token, at an HTTP server."""

    def __init__(self, service: ApiService, headers: dict[str, str]) -> None:
        self._client = service.client
        self.headers = headers

    async def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        more: dict[str, Any] = {} if body is None else {"json": body}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._client.post(path, headers=self.headers | named, **more)

    async def hold(self, job_id: str) -> str:
        """Return the hold that the job waits for, as If-Match takes it."""
        return f'"{(await self.get(f"/jobs/{job_id}"))["hold"]["id"]}"'

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self._client.get(path, params=params, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def problem(self, path: str, body: object = None) -> tuple[int, str]:
        answer = await self.post(path, body)
        assert answer.headers["content-type"] == "application/problem+json", (path, body)
        told = answer.json()
        assert told["status"] == answer.status_code
        return answer.status_code, told["type"].removeprefix("urn:hms-svc:problem:")


@pytest.fixture
async def ada(service: ApiService) -> Operator:
    return Operator(service, await service.token(Scope.OPERATE, Scope.PRODUCE, name="ada"))


async def made(
    service: ApiService, operator: Operator, *ids: str, type: str = "crew.notify"
) -> None:
    jobs = [{"id": id, "type": type, "data": NOTICE} for id in ids]
    assert (await operator.post("/jobs", jobs)).status_code == 202


async def dead(service: ApiService, operator: Operator, *ids: str) -> None:
    await made(service, operator, *ids)
    for job in await service.claim():
        await service.settle(job, State.DEAD, reason="error", by="handler", detail="boom")


async def held(service: ApiService, operator: Operator, *ids: str) -> None:
    await made(service, operator, *ids)
    for job in await service.claim():
        await service.settle(job, State.HELD, hold=("case.open", "ask", "digest"))


async def serves(
    service: ApiService, *types: str, state: WorkerState = WorkerState.WORKING
) -> None:
    """Let a worker be known that serves types, the first of them by the clock too."""
    lease_keeper = service.backend.broker.lease_keeper()
    lease_keeper.register(
        WorkerRegistration(
            id="w-1",
            host="here",
            pid=1,
            slots=2,
            busy=0,
            types=types,
            started_at=1,
            schedules=((types[0], "0 3 * * *"),),
            state=state,
        )
    )
    lease_keeper.close()


async def on_record(operator: Operator, subject: str) -> list[tuple[str, str]]:
    rows = (await operator.get("/audit", subject=subject))["audit"]
    return [(row["actor"], row["action"]) for row in reversed(rows)]


async def test_the_audit_is_read_by_actor_and_action(service: ApiService, ada: Operator) -> None:
    await made(service, ada, "q-1", "q-2")
    await ada.post("/jobs/q-1/cancel", {"note": "because"})

    async def acts(**query: str) -> set[str]:
        page = await ada.get("/audit", **query)
        assert page["cursor"] is None
        return {row["action"] for row in page["audit"]}

    assert await acts(actor="ada", action="job.*") == {"job.cancel"}
    assert await acts(action="-job.*") == {"token.create"}
    assert await acts(actor="bob") == set()


async def test_each_act_on_a_job_is_on_record_under_the_name_of_the_token(
    service: ApiService, ada: Operator
) -> None:
    await dead(service, ada, "a-1", "a-2", "a-3")
    await held(service, ada, "h-1", "h-2")
    await made(service, ada, "q-1")
    acts = {"a-1": "retry", "a-2": "discard", "h-1": "approve", "h-2": "deny", "q-1": "cancel"}
    for job_id, act in acts.items():
        seen = {"if_match": await ada.hold(job_id)} if job_id.startswith("h-") else {}
        answer = await ada.post(f"/jobs/{job_id}/{act}", {"note": "because"}, **seen)
        assert (answer.status_code, answer.json()["done"]) == (200, 1), (act, answer.text)
        assert await on_record(ada, job_id) == [("ada", f"job.{act}")] * 2
    edited = await ada.post("/jobs/a-3/edit", {"data": {"case_id": "other"}})
    assert edited.status_code == 202
    assert await on_record(ada, "a-3") == [("ada", "job.edit")] * 2
    again = await ada.get(edited.headers["location"])
    assert (again["retried_from"], again["data"]) == ("a-3", {"case_id": "other"})
    states = {id: (await ada.get(f"/jobs/{id}"))["state"] for id in ("a-1", "h-1", "h-2", "q-1")}
    assert states == {"a-1": "queued", "h-1": "queued", "h-2": "rejected", "q-1": "cancelled"}


async def test_only_the_hold_that_was_seen_is_answered(service: ApiService, ada: Operator) -> None:
    await held(service, ada, "h-1")
    first = await ada.hold("h-1")
    for act in ("approve", "deny"):
        assert (await ada.post(f"/jobs/h-1/{act}")).status_code == 428
        assert (await ada.post(f"/jobs/h-1/{act}", if_match="*")).status_code == 400
        assert (await ada.post(f"/jobs/h-1/{act}", if_match='"999"')).status_code == 412
    assert (await ada.post("/jobs/h-1/approve", if_match=first)).status_code == 200
    [job] = await service.claim()
    await service.settle(job, State.HELD, hold=("case.close", "ask", "digest"))
    again = await ada.post("/jobs/h-1/approve", if_match=first)
    assert (again.status_code, again.json()["type"]) == (412, "urn:hms-svc:problem:hold-changed")
    assert (await ada.get("/jobs/h-1"))["state"] == "held"
    assert (await ada.post("/jobs/h-1/deny", if_match=first)).status_code == 412
    assert (await ada.post("/jobs/h-1/deny", if_match=await ada.hold("h-1"))).status_code == 200


async def test_many_holds_are_answered_as_the_dry_run_showed_them(
    service: ApiService, ada: Operator
) -> None:
    await held(service, ada, "h-1", "h-2")
    asked = {"act": "approve", "where": "state:held"}
    assert (await ada.post("/jobs/acts", asked)).status_code == 428
    shown = (await ada.post("/jobs/acts", {**asked, "dry_run": True})).json()
    assert (shown["jobs"], shown["groups"][0]["count"]) == (2, 2)
    answer = await ada.post("/jobs/acts", {**asked, "seen": shown["seen"]})
    assert (answer.status_code, answer.json()["done"]) == (200, 2)
    for job in await service.claim():
        await service.settle(job, State.HELD, hold=("case.close", "ask", "digest"))
    assert (await ada.post("/jobs/acts", {**asked, "seen": shown["seen"]})).status_code == 412
    by_ids = {"act": "deny", "ids": ["h-1", "h-2"]}
    assert (await ada.post("/jobs/acts", by_ids)).status_code == 428
    now = (await ada.post("/jobs/acts", {**by_ids, "dry_run": True})).json()["seen"]
    assert (await ada.post("/jobs/acts", {**by_ids, "seen": now})).json()["done"] == 2


async def test_acts_on_queues_and_cases_are_on_record_too(
    service: ApiService, ada: Operator
) -> None:
    await made(service, ada, "q-1", "q-2")
    database = service.api.reads.database
    await database.effects.commit([effect("maker-1")])
    assert (await ada.post("/queues/crew.notify/pause", {"reason": "flood"})).status_code == 200
    assert (await ada.get("/queues"))["queues"][0]["paused_by"] == "ada"
    assert (await ada.post("/queues/crew.notify/resume")).json()["paused"] is False
    assert (await ada.post("/queues/crew.notify/purge")).json()["done"] == 2
    acts = {action for actor, action in await on_record(ada, "queue:crew.notify") if actor == "ada"}
    assert acts == {"queue.pause", "queue.resume", "queue.purge"}
    assert (await ada.post(f"/cases/{CASE}/close", {"note": "mended"})).json()["status"] == "closed"
    assert (await ada.post(f"/cases/{CASE}/reopen")).json()["status"] == "open"
    assert ("ada", "case.closed") in await on_record(ada, CASE)
    assert ("ada", "case.reopened") in await on_record(ada, CASE)


async def test_a_worker_is_asked_over_http_and_shows_by_whom(
    service: ApiService, ada: Operator
) -> None:
    await serves(service, "crew.notify")
    answer = await ada.post("/workers/w-1/quiet", {"reason": "bad disk"})
    assert (answer.status_code, answer.json()) == (202, {"worker": "w-1", "wanted": "quiet"})
    [worker] = (await ada.get("/workers"))["workers"]
    told = {name: worker["wanted"][name] for name in ("state", "by", "reason")}
    assert (worker["state"], told) == (
        "working",
        {"state": "quiet", "by": "ada", "reason": "bad disk"},
    )
    assert (await ada.post("/workers/w-1/resume")).status_code == 202
    assert (await ada.post("/workers/w-1/stop")).json()["wanted"] == "stopping"
    assert (await ada.post("/workers/w-1/resume")).json()["wanted"] == "working"
    await serves(service, "crew.notify", state=WorkerState.STOPPING)
    assert await ada.problem("/workers/w-1/quiet") == (409, "refused")
    assert await ada.problem("/workers/nobody/quiet") == (404, "unknown-id")
    acts = {action for actor, action in await on_record(ada, "worker:w-1") if actor == "ada"}
    assert acts == {"worker.quiet", "worker.resume", "worker.stop"}


async def test_what_cannot_be_done_says_why(service: ApiService, ada: Operator) -> None:
    await made(service, ada, "q-1")
    database = service.api.reads.database
    await database.effects.commit([effect("maker-1")])
    await ada.post(f"/cases/{CASE}/close")
    await database.effects.commit([effect("maker-2")])
    wanted = {
        ("/jobs/nobody/retry", None): (404, "unknown-id"),
        ("/jobs/nobody/edit", '{"data":{}}'): (404, "unknown-id"),
        ("/cases/nobody/close", None): (404, "unknown-id"),
        ("/queues/nobody/purge", None): (404, "unknown-id"),
        ("/jobs/undo", None): (404, "unknown-id"),
        ("/batches/nobody/close", None): (404, "unknown-id"),
        ("/schedules/nobody/run", None): (404, "unknown-id"),
        ("/schedules/nobody/pause", None): (404, "unknown-id"),
        ("/schedules/nobody/resume", None): (404, "unknown-id"),
        ("/jobs/q-1/retry", None): (409, "refused"),
        ("/jobs/q-1/edit", '{"data":{}}'): (409, "refused"),
        (f"/cases/{CASE}/reopen", None): (409, "duplicate-case"),
        ("/jobs/q-1/promote", None): (404, "not-found"),
        ("/queues/No!/pause", None): (422, "malformed-job"),
        ("/jobs/acts", '{"act":"retry"}'): (400, "bad-input"),
        ("/jobs/acts", '{"act":"retry","ids":["a"],"where":""}'): (400, "bad-input"),
        ("/jobs/acts", '{"act":"retry","where":"state:"}'): (400, "bad-filter"),
        ("/jobs/acts", '{"act":"erase","ids":["a"]}'): (422, "malformed-job"),
        ("/jobs/acts", '{"act":"retry","ids":[]}'): (422, "malformed-job"),
        ("/jobs/acts", '{"act":"retry","ids":["a"],"force":true}'): (422, "malformed-job"),
        ("/jobs/acts", '[{"act":"retry"}]'): (422, "malformed-job"),
        ("/jobs/q-1/cancel", '{"note":7}'): (422, "malformed-job"),
    }
    seen = {
        (path, body): await ada.problem(path, None if body is None else json.loads(body))
        for path, body in wanted
    }
    assert seen == wanted
    assert (await ada.get("/jobs/q-1"))["state"] == "queued"


async def test_without_its_record_nothing_is_done(
    service: ApiService, ada: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(service, ada, "q-1")

    async def lose(self: SqlAudit, records: object) -> None:
        raise DatabaseUnavailable("it went away")

    with monkeypatch.context() as patched:
        patched.setattr(SqlAudit, "append", lose)
        assert (await ada.problem("/jobs/q-1/cancel"))[0] == 503
        assert (await ada.problem("/queues/crew.notify/pause"))[0] == 503
    assert (await ada.get("/jobs/q-1"))["state"] == "queued"
    assert (await ada.get("/queues"))["queues"][0]["paused"] is False


async def test_many_are_acted_on_as_foretold_and_taken_back(
    service: ApiService, ada: Operator
) -> None:
    ids = [f"d-{number}" for number in range(5)]
    await dead(service, ada, *ids)
    await made(service, ada, "q-1")
    act = {"act": "discard", "where": "state:dead"}
    foretold = (await ada.post("/jobs/acts", {**act, "dry_run": True})).json()
    assert (foretold["act"], foretold["jobs"], foretold["failed"]) == ("discard", 5, 0)
    [group] = foretold["groups"]
    assert group.pop("cause")
    assert group == {
        "type": "crew.notify",
        "state": "dead",
        "reason": "error",
        "rule": "",
        "count": 5,
    }
    assert len((await ada.get("/jobs", where="state:dead"))["jobs"]) == 5
    done = (await ada.post("/jobs/acts", {**act, "note": "a bug"})).json()
    assert (done["done"], done["failed"], done["left"]) == (5, 0, 0)
    assert (await ada.get("/jobs", where="state:dead"))["jobs"] == []
    undone = (await ada.post("/jobs/undo", {"batch": done["batch"]})).json()
    assert (undone["batch"], undone["done"]) == (done["batch"], 5)
    assert len((await ada.get("/jobs", where="state:dead"))["jobs"]) == 5
    mixed = {"act": "retry", "ids": ["d-0", "q-1", "nobody"]}
    assert (await ada.post("/jobs/acts", {**mixed, "dry_run": True})).json()["failed"] == 2
    assert (await ada.post("/jobs/acts", mixed)).json()["done"] == 1
    assert (await ada.post("/jobs/undo")).json()["done"] == 1


async def test_pages_walk_all_jobs_once(any_service: ApiService) -> None:
    ada = Operator(any_service, {})
    ids = {f"j-{number:02}" for number in range(25)}
    await made(any_service, ada, *sorted(ids))
    seen: list[str] = []
    sizes, cursor = [], None
    while True:
        more: dict[str, str] = {} if cursor is None else {"cursor": cursor}
        page = await ada.get("/jobs", limit=10, where="type:crew.notify", **more)
        seen += [job["id"] for job in page["jobs"]]
        sizes.append(len(page["jobs"]))
        cursor = page["cursor"]
        if cursor is None:
            break
    assert (set(seen), len(seen), sizes[:3]) == (ids, 25, [10, 10, 5])


UNREADABLE = (
    "/jobs?where=state:",
    "/jobs?where=state:asleep",
    "/jobs?where=%22",
    "/jobs?where=" + "(" * 5000,
    "/jobs?limit=0",
    "/jobs?limit=1001",
    "/jobs?limit=ten",
    "/jobs?cursor=garbage",
    "/jobs?cursor=%00",
    "/jobs?archive=perhaps",
    "/jobs?archive=true&cursor=garbage",
    "/cases?cursor=garbage",
    "/cases?cursor=1.2",
    "/cases?status=lost",
    "/audit?cursor=garbage",
    "/audit?actor=a*b",
    "/events?from=yesterday",
    "/events?from=9001-01-01T00:00:00Z",
    "/events?from=20260101T000000Z",
    "/jobs?cursor=WzAsMTAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMCwwXQ",  # [0, 10**30, 0]
    "/jobs?cursor=WzAsLTkyMjMzNzIwMzY4NTQ3NzU4MDgsMF0",  # [0, -2**63, 0]
)


async def test_a_question_that_cannot_be_read_is_answered_400(service: ApiService) -> None:
    for path in UNREADABLE:
        answer = await service.client.get(path)
        assert (answer.status_code, answer.json()["status"]) == (400, 400), path


async def test_reads_have_the_shapes_that_the_document_tells(
    service: ApiService, ada: Operator
) -> None:
    await dead(service, ada, "d-1")
    await made(service, ada, "q-1")
    await service.api.reads.database.effects.commit([effect("maker-1")])
    await serves(service, "analysis.run", "crew.notify")
    follow_up = make_job("ward.report", {}, now_ms=0, id="report")
    batch = NewBatch(id="wards", members=(), follow_ups=(follow_up,))
    await service.backend.broker.enqueue_batch(batch.with_its_id())
    told: dict[str, type[msgspec.Struct]] = {
        "/jobs": JobPageAnswer,
        "/jobs/d-1": JobDetailAnswer,
        "/jobs/d-1/why": Explanation,
        "/batches": BatchPageAnswer,
        "/batches/wards": BatchAnswer,
        "/status": StatusAnswer,
        "/queues": QueueList,
        "/workers": WorkerList,
        "/failures": FailureList,
        "/schedules": ScheduleList,
        "/cases": CasePageAnswer,
        f"/cases/{CASE}": CaseAnswer,
        "/audit": AuditPageAnswer,
    }
    for path, model in told.items():
        answer = await ada.get(path)
        again = msgspec.json.encode(msgspec.convert(answer, model))
        assert msgspec.json.decode(again) == answer, path
        lists = [value for value in answer.values() if isinstance(value, list)]
        assert path == "/jobs/d-1" or all(lists), f"{path} shows nothing"
    [job] = (await ada.get("/jobs", where="id:d-1"))["jobs"]
    assert (job["state"], job["reason"], job["by"], job["detail"]) == (
        "dead",
        "error",
        "handler",
        "boom",
    )
