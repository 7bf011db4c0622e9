"""What a request got wrong: each parameter and each field is told, with the name that was meant."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.api import ApiService

from .test_methods import a_path

WRONG: list[dict[str, Any]] = [
    {"type": "drill.run", "data": {"act": "dance", "seconds": -1}, "priority": "high"},
    {"type": "drill.run", "data": {}, "not_befor": "2026-01-01T00:00:00Z"},
]
FIELDS = [
    (0, "priority"),
    (0, "data.act"),
    (0, "data.seconds"),
    (1, "not_befor"),
]


async def test_every_field_at_fault_is_an_entry_of_its_own(service: ApiService) -> None:
    answer = (await service.post(WRONG)).json()
    assert [(each["index"], each["field"]) for each in answer["errors"]] == FIELDS
    assert answer["errors"][-1]["detail"] == "unknown field 'not_befor'; did you mean not_before?"
    assert "and 1 more" in answer["detail"]
    one = await service.post(WRONG[0])
    assert one.status_code == 422
    assert [each["field"] for each in one.json()["errors"]] == [field for _, field in FIELDS[:3]]
    assert all("; " not in each["detail"] for each in one.json()["errors"])


async def test_an_option_of_python_in_a_job_is_refused(service: ApiService) -> None:
    job = {"type": "drill.run", "data": {}, "delay": 60, "maxRetries": 3}
    answer = await service.post(job)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == ["delay", "maxRetries"]
    assert "write not_before" in answer.json()["errors"][0]["detail"]


async def test_every_member_of_a_body_at_fault_is_an_entry_of_its_own(service: ApiService) -> None:
    answer = await service.client.post("/jobs/acts", json={"act": "x", "ids": [], "wher": "a"})
    assert answer.status_code == 422
    assert {each["field"] for each in answer.json()["errors"]} == {"act", "ids", "wher"}


async def test_a_query_parameter_that_no_route_reads_is_refused(service: ApiService) -> None:
    for template, operations in service.described.document["paths"].items():
        for method, operation in operations.items():
            if not operation.get("security", True):
                continue
            path = a_path(template)
            answer = await service.client.request(method, path, params={"stat": "x"})
            assert answer.status_code == 400, path
            [fault] = answer.json()["errors"]
            assert fault["field"] == "stat"
            assert fault["detail"].startswith("unknown query parameter 'stat'"), fault
    probe = await service.client.get("/healthz?from=balancer")
    assert probe.status_code == 200


async def test_all_faults_of_a_query_are_told_at_once(service: ApiService) -> None:
    asked = "/cases?stat=open&limit=many&kind=a&kind=b&zzzz=1"
    found = {each["field"]: each["detail"] for each in await errors(service, asked)}
    assert set(found) == {"stat", "limit", "kind", "zzzz"}
    assert found["stat"] == "unknown query parameter 'stat'; did you mean status?"
    assert found["kind"] == "it occurs 2 times, but may occur only once"
    assert found["zzzz"].endswith("; the parameters are status, kind, limit, cursor")
    assert [each["field"] for each in await errors(service, "/openapi.json?v=1")] == ["v"]
    listed = await service.client.get("/events?type=a&type=b&follow=false")
    assert listed.status_code == 200


async def errors(service: ApiService, path: str) -> list[dict[str, str]]:
    answer = await service.client.get(path)
    assert answer.status_code == 400
    found: list[dict[str, str]] = answer.json()["errors"]
    return found


async def test_a_parameter_of_a_socket_that_nobody_reads_is_refused(service: ApiService) -> None:
    await service.post({"id": "d-1", "type": "crew.notify", "data": {"case_id": "c"}})
    address = service.url.replace("http", "ws") + "/jobs/d-1/events?aftr=1"
    with pytest.raises(InvalidStatus) as refused:
        await connect(address)
    assert refused.value.response.status_code == 400
    assert b"did you mean after?" in refused.value.response.body
