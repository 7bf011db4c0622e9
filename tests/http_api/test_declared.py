"""What types declare holds for jobs that come in over HTTP, as jobs and as envelopes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.support.api import ApiService, ServiceMaker
from tests.support.http_wire import accepted

APP = ("tests.cli.declared_app:registry",)
AGENCIES = """
[[sender]]
name = "a2a"
source = "/a2a/*"
[[sender.map]]
event = "gov.ward"
job = "sync.ward"
"""


@pytest.fixture
async def service(make_service: ServiceMaker, tmp_path: Path) -> ApiService:
    file = tmp_path / "agencies.toml"
    file.write_text(AGENCIES)
    return await make_service(app=APP, agencies_file=file)


def job(ward: int, **more: Any) -> dict[str, Any]:
    return {"type": "sync.ward", "data": {"ward": ward}, **more}


async def record(service: ApiService, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await service.client.get(f"/jobs/{job_id}")).json()
    return found


async def test_posted_jobs_have_their_declared_key_and_priority(service: ApiService) -> None:
    answers = (await service.post([job(7), job(7), job(8, unique_key="mine", priority=0)])).json()
    assert [each["state"] for each in answers] == ["queued", "rejected", "queued"]
    records = [await record(service, each["id"]) for each in answers]
    assert [(each["unique_key"], each["priority"]) for each in records] == [
        ("ward-7", 50),
        ("ward-7", 50),
        ("mine", 0),
    ]
    assert (await service.post(job(7))).json()["state"] == "rejected"


async def test_the_answer_says_which_job_stands_or_is_replaced(service: ApiService) -> None:
    first = (await service.post(job(7))).json()
    assert "held_by" not in first
    assert "replaced" not in first
    array = (await service.post([job(7), job(8)])).json()
    assert [each.get("held_by") for each in array] == [first["id"], None]
    throttled = (await service.post([{"type": "remind.ward", "data": {"ward": 7}}] * 2)).json()
    assert throttled[1]["held_by"] == throttled[0]["id"]
    drawn = (await service.post([{"type": "render.ward", "data": {"ward": 7}}] * 2)).json()
    assert [each["state"] for each in drawn] == ["scheduled", "scheduled"]
    assert drawn[1]["replaced"] == drawn[0]["id"]
    assert (await record(service, drawn[0]["id"]))["reason"] == "replaced"


async def test_a_key_that_cannot_be_made_is_a_fault_of_the_request(service: ApiService) -> None:
    answer = await service.post([job(7), {"type": "sync.desk", "data": {}}])
    assert answer.status_code == 422
    assert "unique key of sync.desk: broken_key" in answer.text
    assert "raised KeyError" in answer.text
    assert await accepted(service) == 0


async def send(service: ApiService, id: str, data: object) -> str:
    attributes = {"id": id, "source": "/a2a/city", "type": "gov.ward", "specversion": "1.0"}
    event = CloudEvent({**attributes, "datacontenttype": "application/json"}, data)  # type: ignore[arg-type]  # data of any type
    message = to_structured_event(event)
    answer = await service.client.post("/envelopes", content=message.body, headers=message.headers)
    assert answer.status_code == 202, answer.text
    return str(json.loads(answer.text)["jobs"][0]["id"])


async def test_envelopes_become_jobs_with_the_declared_key_and_priority(
    service: ApiService,
) -> None:
    first = await record(service, await send(service, "1", {"ward": 7}))
    second = await record(service, await send(service, "2", {"ward": 7}))
    assert (first["state"], first["unique_key"], first["priority"]) == ("queued", "ward-7", 50)
    assert (second["state"], second["reason"]) == ("rejected", "unique")


async def test_an_envelope_that_does_not_fit_the_type_is_the_workers_to_reject(
    service: ApiService,
) -> None:
    found = await record(service, await send(service, "1", {"ward": "x"}))
    assert (found["state"], found["unique_key"], found["priority"]) == ("queued", None, 50)
