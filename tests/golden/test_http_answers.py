"""Every answer of the HTTP API, and its OpenAPI document, as they stand in files."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx
import pytest
from websockets.asyncio.client import connect

from hms_svc.domain.ids import case_id
from hms_svc.http_api.answer_schemas import answer_schemas
from hms_svc.operations.tokens import Scope
from tests.golden.files import Answers
from tests.golden.world import build
from tests.support.api import NOTICE, ApiService, ServiceMaker
from tests.support.redis_server import RedisServer

CASE: Final = case_id("done-1", "")
HEADERS: Final = (
    "allow",
    "content-type",
    "idempotency-replayed",
    "location",
    "retry-after",
    "www-authenticate",
)
EVENT: Final = {"specversion": "1.0", "id": "1", "source": "/city", "type": "x.y", "data": {}}
EVENTS: Final = "application/cloudevents-batch+json"
WITHOUT_FILE: Final = frozenset({"getMetrics", "denyJob"})
"""Operations of which no answer is kept: numbers that differ from run to run, and the same as approveJob."""
RARE: Final = {
    "Accepted.replaced",
    "EnvelopeJob.held_by",
    "EnvelopeJob.replaced",
    "Queue.faults",
    "Queue.limited",
    "Raw.sha256_of_beginning",
}
"""What the document describes and this world has not: debounced jobs, keys of a wrong type, and very long pushes."""
Request = tuple[str, str, str, dict[str, Any]]
READS: Final[tuple[Request, ...]] = (
    ("status", "GET", "/status", {}),
    ("queues", "GET", "/queues", {}),
    ("workers", "GET", "/workers", {}),
    ("failures", "GET", "/failures", {}),
    ("schedules", "GET", "/schedules", {}),
    ("jobs", "GET", "/jobs", {}),
    ("jobs-page", "GET", "/jobs?where=state:dead%20type:crew.notify&limit=1", {}),
    ("jobs-archive", "GET", "/jobs?archive=true", {}),
    ("jobs-bad-filter", "GET", "/jobs?where=state:asleep", {}),
    ("jobs-bad-parameters", "GET", "/jobs?limit=0&cursor=garbage&sort=id", {}),
    ("job-completed", "GET", "/jobs/done-1", {}),
    ("job-dead", "GET", "/jobs/dead-1", {}),
    ("job-rejected", "GET", "/jobs/rejected-1", {}),
    ("job-held", "GET", "/jobs/held-1", {}),
    ("job-running", "GET", "/jobs/running-1", {}),
    ("job-scheduled", "GET", "/jobs/later-1", {}),
    ("job-retrying", "GET", "/jobs/retrying-1", {}),
    ("job-unknown", "GET", "/jobs/nobody", {}),
    ("why", "GET", "/jobs/dead-1/why", {}),
    ("why-unknown", "GET", "/jobs/nobody/why", {}),
    ("why-not-made", "GET", "/jobs/then-1/why", {}),
    ("batches", "GET", "/batches", {}),
    ("batch", "GET", "/batches/wards", {}),
    ("batch-unknown", "GET", "/batches/nowhere", {}),
    ("cases", "GET", "/cases", {}),
    ("cases-bad-status", "GET", "/cases?status=lost", {}),
    ("case", "GET", f"/cases/{CASE}", {}),
    ("case-unknown", "GET", "/cases/nowhere", {}),
    ("audit", "GET", "/audit", {}),
    ("audit-bad-cursor", "GET", "/audit?cursor=garbage", {}),
    ("healthz", "GET", "/healthz", {}),
    ("readyz", "GET", "/readyz", {}),
    ("nothing-is-here", "GET", "/nowhere", {}),
    ("method-not-allowed", "PUT", "/jobs", {}),
)
POSTS: Final[tuple[Request, ...]] = (
    ("post-job", "POST", "/jobs", {"json": {"id": "p-1", "type": "crew.notify", "data": NOTICE}}),
    (
        "post-job-again",
        "POST",
        "/jobs",
        {"json": {"id": "p-1", "type": "crew.notify", "data": NOTICE}},
    ),
    (
        "post-jobs-of-one-key",
        "POST",
        "/jobs",
        {
            "json": [
                {"id": id, "type": "crew.notify", "data": NOTICE, "unique_key": "k-1"}
                for id in ("u-1", "u-2")
            ]
        },
    ),
    ("post-jobs", "POST", "/jobs", {"json": [{"id": "p-2", "type": "other.type", "data": 1}]}),
    (
        "post-id-taken",
        "POST",
        "/jobs",
        {"json": {"id": "p-1", "type": "crew.notify", "data": {"case_id": "2"}}},
    ),
    ("post-malformed", "POST", "/jobs", {"json": {"type": "Crew", "data": NOTICE, "prioriy": 1}}),
    (
        "post-malformed-jobs",
        "POST",
        "/jobs",
        {"json": [{"type": "crew.notify", "data": {}}, {"type": 1}]},
    ),
    (
        "post-no-json",
        "POST",
        "/jobs",
        {"content": b"{", "headers": {"content-type": "application/json"}},
    ),
    ("post-no-media-type", "POST", "/jobs", {"content": b"{}"}),
    ("post-intake-paused", "POST", "/jobs", {"json": {"type": "unserved.type", "data": 1}}),
    (
        "envelopes",
        "POST",
        "/envelopes",
        {"content": json.dumps([EVENT]), "headers": {"content-type": EVENTS}},
    ),
    (
        "envelopes-again",
        "POST",
        "/envelopes",
        {"content": json.dumps([EVENT]), "headers": {"content-type": EVENTS}},
    ),
    (
        "envelopes-malformed",
        "POST",
        "/envelopes",
        {"content": "[{}]", "headers": {"content-type": EVENTS}},
    ),
)
ACTS: Final[tuple[Request, ...]] = (
    (
        "act-dry-run",
        "POST",
        "/jobs/acts",
        {"json": {"act": "retry", "where": "state:dead type:crew.notify", "dry_run": True}},
    ),
    (
        "act-dry-run-ids",
        "POST",
        "/jobs/acts",
        {"json": {"act": "retry", "ids": ["dead-1", "queued-1", "nobody"], "dry_run": True}},
    ),
    (
        "act-decision-dry-run",
        "POST",
        "/jobs/acts",
        {"json": {"act": "deny", "where": "state:held", "dry_run": True}},
    ),
    ("act-decision-unseen", "POST", "/jobs/acts", {"json": {"act": "deny", "where": "state:held"}}),
    (
        "act-decision-other",
        "POST",
        "/jobs/acts",
        {"json": {"act": "deny", "where": "state:held", "seen": "x"}},
    ),
    ("act-malformed", "POST", "/jobs/acts", {"json": {"act": "dance"}}),
    ("act-neither", "POST", "/jobs/acts", {"json": {"act": "retry"}}),
    (
        "act",
        "POST",
        "/jobs/acts",
        {"json": {"act": "retry", "ids": ["dead-1", "queued-1", "nobody"], "note": "fixed"}},
    ),
    ("undo", "POST", "/jobs/undo", {}),
    ("undo-unknown", "POST", "/jobs/undo", {"json": {"batch": "nothing"}}),
    ("retry", "POST", "/jobs/dead-2/retry", {"json": {"note": "fixed"}}),
    ("retry-refused", "POST", "/jobs/queued-1/retry", {}),
    ("retry-unknown", "POST", "/jobs/nobody/retry", {}),
    ("cancel", "POST", "/jobs/queued-1/cancel", {"json": {"note": "not needed"}}),
    ("cancel-refused", "POST", "/jobs/queued-1/cancel", {}),
    ("discard", "POST", "/jobs/dead-3/discard", {}),
    ("approve-no-hold", "POST", "/jobs/held-1/approve", {}),
    ("approve-other-hold", "POST", "/jobs/held-1/approve", {"headers": {"if-match": '"99"'}}),
    ("edit", "POST", "/jobs/done-1/edit", {"json": {"data": {"case_id": "2"}}}),
    (
        "edit-rejected",
        "POST",
        "/jobs/rejected-1/edit",
        {"json": {"data": {"user_id": "u", "lat": 1, "lon": 2}}},
    ),
    ("edit-refused", "POST", "/jobs/queued-2/edit", {"json": {"data": {}}}),
    ("edit-malformed", "POST", "/jobs/dead-1/edit", {"json": {"note": 1}}),
    (
        "pause",
        "POST",
        "/queues/crew.notify/pause",
        {"json": {"reason": "a strike", "intake": True}},
    ),
    ("resume", "POST", "/queues/crew.notify/resume", {}),
    ("purge", "POST", "/queues/crew.notify/purge", {"json": {"note": "all of it"}}),
    ("purge-unknown", "POST", "/queues/no.such.type/purge", {}),
    ("quiet", "POST", "/workers/host-1-100-w1/quiet", {"json": {"reason": "an update"}}),
    ("resume-worker", "POST", "/workers/host-1-100-w1/resume", {}),
    ("stop-worker", "POST", "/workers/host-1-100-w1/stop", {}),
    ("quiet-unknown", "POST", "/workers/nobody/quiet", {}),
    ("close-batch", "POST", "/batches/left/close", {"json": {"note": "its producer is gone"}}),
    ("close-batch-closed", "POST", "/batches/left/close", {}),
    ("close-batch-refused", "POST", "/batches/wards/close", {}),
    ("close-batch-unknown", "POST", "/batches/nowhere/close", {}),
    ("batch-closed", "GET", "/batches/left", {}),
    ("run-schedule", "POST", "/schedules/crew.notify/run", {"json": {"note": "now"}}),
    ("pause-schedule", "POST", "/schedules/crew.notify/pause", {"json": {"reason": "strike"}}),
    ("resume-schedule", "POST", "/schedules/crew.notify/resume", {}),
    ("run-schedule-unknown", "POST", "/schedules/no.such.type/run", {}),
    ("close-case", "POST", f"/cases/{CASE}/close", {"json": {"note": "repaired"}}),
    ("close-case-refused", "POST", f"/cases/{CASE}/close", {}),
    ("reopen-case", "POST", f"/cases/{CASE}/reopen", {}),
    ("close-case-unknown", "POST", "/cases/nowhere/close", {}),
)


class Session:
    """Asks, and keeps the answers."""

    def __init__(self, service: ApiService) -> None:
        self.service = service
        self.answers = Answers("http")

    async def ask(self, *requests: Request, **headers: str) -> None:
        """Send the requests one after the other."""
        for name, method, path, more in requests:
            given = {**headers, **more.get("headers", {})}
            answer = await self.service.client.request(method, path, **{**more, "headers": given})
            self.answers.add(
                name, {"request": f"{method} {path}", "sent": more.get("json"), **_shown(answer)}
            )


def _shown(answer: httpx.Response) -> dict[str, Any]:
    headers = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
    media_type = headers.get("content-type", "")
    body: Any = answer.json() if "json" in media_type else answer.text
    if media_type.startswith("text/event-stream"):
        body = [_event(each) for each in answer.text.split("\n\n") if each.strip(":\n")]
    return {"status": answer.status_code, "headers": headers, "body": body}


def _event(text: str) -> dict[str, Any]:
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    return {"event": fields["event"], "data": json.loads(fields["data"])}


@pytest.fixture(params=["sqlite", "redis"])
async def session(request: pytest.FixtureRequest, make_service: ServiceMaker) -> Session:
    """A server over each broker, with the world behind it."""
    broker: dict[str, Any] = {}
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        broker["broker_url"] = server.url()
    service = await make_service(**broker)
    await build(service)
    return Session(service)


async def test_every_answer_over_http_stands_in_its_file(session: Session) -> None:
    await session.ask(*READS)
    [foreign] = (await session.service.client.get("/jobs?where=type:foreign.push")).json()["jobs"]
    await session.ask(("job-malformed", "GET", f"/jobs/{foreign['id']}", {}))
    await _follow(session)
    await session.ask(*POSTS)
    keyed = {"json": {"type": "crew.notify", "data": NOTICE}, "headers": {"idempotency-key": "k"}}
    await session.ask(("post-keyed", "POST", "/jobs", keyed))
    await session.ask(("post-replayed", "POST", "/jobs", keyed))
    await session.ask(*ACTS)
    hold = (await session.service.client.get("/jobs/held-1")).json()["hold"]["id"]
    seen = {"headers": {"if-match": f'"{hold}"'}}
    await session.ask(("approve", "POST", "/jobs/held-1/approve", seen))
    await session.ask(("audit-after-acts", "GET", "/audit", {}))
    await _ask_without_rights(session)
    session.answers.check()
    succeeded = {name for name, status in session.service.described.seen if status < 300}
    assert succeeded | WITHOUT_FILE == session.service.described.names
    assert session.service.described.unsent(answer_schemas()) == RARE


async def _follow(session: Session) -> None:
    await session.ask(
        ("job-events", "GET", "/jobs/done-1/events", {}),
        ("job-events-seen", "GET", "/jobs/done-1/events", {"headers": {"last-event-id": "end"}}),
        ("job-events-unknown", "GET", "/jobs/nobody/events", {}),
        ("events", "GET", "/events?follow=false", {}),
        ("events-bad-time", "GET", "/events?from=yesterday", {}),
    )
    address = session.service.url.replace("http:", "ws:")
    async with connect(f"{address}/jobs/done-1/events", proxy=None) as socket:
        messages = [json.loads(message) async for message in socket]
    session.answers.add("job-socket", messages)


async def _ask_without_rights(session: Session) -> None:
    viewer = await session.service.token(Scope.VIEW, name="viewer")
    await session.ask(("unauthorized", "GET", "/status", {}))
    await session.ask(("forbidden", "POST", "/jobs/undo", {}), **viewer)


async def test_the_openapi_document_stands_in_its_file(make_service: ServiceMaker) -> None:
    service = await make_service()
    answers = Answers("openapi")
    document = (await service.client.get("/openapi.json")).json()
    document["info"]["version"] = "VERSION"
    answers.add_whole("openapi", json.loads(json.dumps(document, sort_keys=True)))
    answers.check()
