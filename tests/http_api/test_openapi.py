"""The OpenAPI document: it has every route and payload model, and what it says is so."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from hms_svc.domain.ids import JOB_TYPE
from hms_svc.operations.tokens import Scope

from .conftest import House


async def test_payload_models_of_the_served_types_stand_in_the_document(house: House) -> None:
    document = (await house.client.get("/openapi.json")).json()
    models = document["components"]["schemas"]
    assert models["pothole.report"]["required"] == ["user_id", "lat", "lon"]
    kinds = models["JobRequest"]["anyOf"][0]["anyOf"]
    told = {each["properties"]["type"].get("const") for each in kinds}
    assert {"pothole.report", "crew.notify", "analysis.run", "drill.run"} <= told
    assert {"/jobs", "/jobs/{job_id}/events", "/events", "/envelopes"} <= set(document["paths"])
    assert document["paths"]["/healthz"]["get"]["security"] == []


async def test_headers_refusals_and_the_shape_of_a_type_stand_in_the_document(
    house: House,
) -> None:
    document = (await house.client.get("/openapi.json")).json()
    paths = document["paths"]
    posting = paths["/jobs"]["post"]
    assert {"409", "413", "415", "422", "429", "503"} <= set(posting["responses"])
    named = {path: names_of(paths[path]["get"]) for path in ("/events", "/jobs/{job_id}/events")}
    assert all(("header", "Last-Event-ID") in names for names in named.values())
    assert ("header", "Idempotency-Key") in names_of(posting)
    typed = [path for path in paths if "{type}" in path]
    assert len(typed) == 4
    for path in typed:
        [of_type] = [each for each in paths[path]["post"]["parameters"] if each["name"] == "type"]
        assert of_type["schema"]["pattern"] == f"^{JOB_TYPE.pattern}$"
    assert "HTTPValidationError" not in str(document)


def names_of(operation: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["in"], each["name"]) for each in operation["parameters"]}


async def test_the_document_passes_a_fuzz_run(house: House, tmp_path: Path) -> None:
    token = await house.token(*Scope)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{house.url}/openapi.json"),
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
