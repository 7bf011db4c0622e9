"""The OpenAPI document: it has every route and payload model, and what it says is so.

Every answer that a test of this folder gets is held against it: see `described`.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from hms_svc.domain.batches import NewBatch
from hms_svc.domain.ids import JOB_TYPE
from hms_svc.domain.job import make_job
from hms_svc.operations.tokens import Scope
from hms_svc.ports.schedules import DueRuns
from tests.support.api import NOTICE, ApiService
from tests.support.broken_submissions import leave_open
from tests.support.database_requests import effect

from .test_acts import CASE, Operator, dead, held, made, serves

EVENT = {"specversion": "1.0", "id": "1", "source": "/city", "type": "x.y", "data": {}}


@pytest.fixture
async def document(service: ApiService) -> dict[str, Any]:
    found: dict[str, Any] = (await service.client.get("/openapi.json")).json()
    return found


def operations_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for of_path in document["paths"].values() for each in of_path.values()]


async def test_every_tag_of_an_operation_is_described(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"]}
    assert {tag for each in operations_of(document) for tag in each["tags"]} == described


async def test_payload_models_of_the_served_types_stand_in_the_document(
    document: dict[str, Any],
) -> None:
    models = document["components"]["schemas"]
    assert models["JobData.pothole.report"]["required"] == ["user_id", "lat", "lon"]
    declared = models["JobRequestOfDeclaredType"]
    names = {"pothole.report", "crew.notify", "analysis.run", "drill.run"}
    places = {name: f"#/components/schemas/JobRequest.{name}" for name in names}
    assert declared["discriminator"] == {"propertyName": "type", "mapping": places}
    assert {each["$ref"] for each in declared["oneOf"]} == set(places.values())
    for name in names:
        fields = models[f"JobRequest.{name}"]["properties"]
        assert fields["type"] == {"type": "string", "const": name}
        assert fields["data"] == {"$ref": f"#/components/schemas/JobData.{name}"}
    assert set(models["JobRequestOfOtherType"]["properties"]["type"]["not"]["enum"]) > names
    assert {"/jobs", "/jobs/{job_id}/events", "/events", "/envelopes"} <= set(document["paths"])
    assert document["paths"]["/healthz"]["get"]["security"] == []
    assert document["servers"] == [{"url": "/"}]


async def test_every_answer_has_an_exact_status_and_a_named_schema(
    document: dict[str, Any],
) -> None:
    for operation in operations_of(document):
        name, answers = operation["operationId"], operation["responses"]
        assert "2XX" not in answers, name
        assert answers["default"] == {"$ref": "#/components/responses/Error"}, name
        assert any(status.startswith("4") for status in answers), name
        for status, answer in answers.items():
            for media_type, content in answer.get("content", {}).items():
                if media_type == "application/json":
                    told = content["schema"]
                    assert "$ref" in told or all("$ref" in each for each in told["anyOf"]), name
                    assert status in {"200", "202"}, name
    for name, schema in document["components"]["schemas"].items():
        # A generator of Python gives the class's value and its list one name then.
        own = schema.get("properties", {}).get(name.lower(), {})
        assert own.get("type") != "array", name
    ids = [each["operationId"] for each in operations_of(document)]
    assert len(set(ids)) == len(ids)
    assert {"enqueueJobs", "getJob", "explainJob", "retryJob", "receiveEnvelopes"} <= set(ids)
    assert all(each.isascii() and each.isalpha() and each[0].islower() for each in ids)


async def test_headers_refusals_and_the_shape_of_a_type_stand_in_the_document(
    document: dict[str, Any],
) -> None:
    paths = document["paths"]
    submission = paths["/jobs"]["post"]
    assert {"409", "413", "415", "422", "429", "503"} <= set(submission["responses"])
    assert set(submission["responses"]["202"]["headers"]) == {"Location", "Idempotency-Replayed"}
    for name in ("TooManyRequests", "Unavailable"):
        assert "Retry-After" in document["components"]["responses"][name]["headers"]
    named = {path: names_of(paths[path]["get"]) for path in ("/events", "/jobs/{job_id}/events")}
    assert all(("header", "Last-Event-ID") in names for names in named.values())
    assert ("header", "Idempotency-Key") in names_of(submission)
    typed = [path for path in paths if "{type}" in path]
    assert len(typed) == 6
    for path in typed:
        [of_type] = [each for each in paths[path]["post"]["parameters"] if each["name"] == "type"]
        assert of_type["schema"]["pattern"] == f"^{JOB_TYPE.pattern}$"
    envelopes = paths["/envelopes"]["post"]
    assert {("header", f"ce-{name}") for name in ("id", "source", "type")} <= names_of(envelopes)
    assert {"application/octet-stream", "*/*"} <= set(envelopes["requestBody"]["content"])
    assert "HTTPValidationError" not in str(document)


def names_of(operation: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["in"], each["name"]) for each in operation["parameters"]}


async def test_every_operation_answers_as_the_document_says(service: ApiService) -> None:
    """Each is asked so that it succeeds; `House.client` holds what comes against the document."""
    ada = Operator(service, await service.token(*Scope, name="ada"))
    service.described.seen.clear()
    await dead(service, ada, "a-1", "a-2", "a-3")
    await held(service, ada, "h-1", "h-2")
    await made(service, ada, "q-1", "q-2")
    await service.api.reads.database.effects.commit([effect("maker-1")])
    await serves(service, "analysis.run", "crew.notify")
    await service.backend.broker.decide_runs(
        [DueRuns(type="analysis.run", cron="0 3 * * *", data="{}")]
    )
    await ada.get("/schedules")
    batch = NewBatch(id="b-1", members=(), follow_ups=(make_job("left.alone", {}, now_ms=0),))
    await service.backend.broker.enqueue_batch(batch.with_its_id())
    parts = tuple(make_job("left.alone", n, now_ms=0) for n in range(2))
    await leave_open(service.backend.broker, NewBatch(id="b-2", members=parts))
    for path in (
        "/batches",
        "/batches/b-1",
        "/jobs",
        "/jobs/a-1",
        "/jobs/a-1/why",
        "/status",
        "/queues",
        "/workers",
        "/failures",
        "/cases",
        f"/cases/{CASE}",
        "/audit",
    ):
        await ada.get(path)
    seen = {"if_match": await ada.hold("h-1")}
    answers: list[httpx.Response] = [
        await ada.post("/jobs", {"type": "crew.notify", "data": NOTICE}, idempotency_key="1"),
        await ada.post("/jobs", {"type": "crew.notify", "data": NOTICE}, idempotency_key="1"),
        await ada.post("/jobs/acts", {"act": "retry", "ids": ["a-1"], "dry_run": True}),
        await ada.post("/jobs/a-1/retry"),
        await ada.post("/jobs/a-2/discard", {"note": "old"}),
        await ada.post("/jobs/a-3/edit", {"data": NOTICE}),
        await ada.post("/jobs/h-1/approve", **seen),
        await ada.post("/jobs/h-2/deny", if_match=await ada.hold("h-2")),
        await ada.post("/jobs/q-1/cancel"),
        await ada.post("/jobs/undo"),
        await ada.post("/jobs/acts", {"act": "cancel", "where": "id:q-2"}),
        await ada.post("/batches/b-2/close", {"note": "its producer is gone"}),
        await ada.post("/queues/crew.notify/pause"),
        await ada.post("/queues/crew.notify/resume"),
        await ada.post("/queues/crew.notify/purge"),
        await ada.post("/schedules/analysis.run/run"),
        await ada.post("/schedules/analysis.run/pause", {"reason": "closed"}),
        await ada.post("/schedules/analysis.run/resume"),
        await ada.post("/workers/w-1/quiet", {"reason": "bad disk"}),
        await ada.post("/workers/w-1/resume"),
        await ada.post("/workers/w-1/stop"),
        await ada.post(f"/cases/{CASE}/close"),
        await ada.post(f"/cases/{CASE}/reopen"),
        await ada.post("/envelopes", EVENT, content_type="application/cloudevents+json"),
    ]
    assert [each.text for each in answers if each.status_code not in {200, 202}] == []
    assert answers[1].headers["idempotency-replayed"] == "true"
    for path in ("/healthz", "/readyz", "/metrics", "/jobs/q-1/events", "/events?follow=false"):
        answer = await service.client.get(path, headers=ada.headers)
        assert answer.status_code in {200, 503}, path
    answered = {name for name, status in service.described.seen if status in {200, 202, 503}}
    assert answered == {each["operationId"] for each in operations_of(service.described.document)}


@pytest.mark.interop
async def test_the_document_passes_a_fuzz_run(service: ApiService, tmp_path: Path) -> None:
    token = await service.token(*Scope)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"),
        *("-H", f"Authorization: {token['authorization']}", "--exclude-path-regex", "/events$"),
        *("--phases", "fuzzing", "--max-examples", "2", "--seed", "1", "--no-color"),
        *("--suppress-health-check", "too_slow"),
        *("-c", "not_a_server_error,status_code_conformance,content_type_conformance"),
        *("-c", "response_schema_conformance,negative_data_rejection"),
    ]
    ran = await asyncio.to_thread(
        subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


async def test_every_reference_leads_to_a_component(service: ApiService) -> None:
    text = (await service.client.get("/openapi.json")).text
    components = json.loads(text)["components"]
    for kind, name in re.findall(r'"#/components/(\w+)/([^"]+)"', text):
        assert name in components[kind], name
