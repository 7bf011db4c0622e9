from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError, model_validator

from hms_svc.domain.errors import BadSetting
from hms_svc.domain.job import Job, read_job
from hms_svc.domain.strict_json import decode, read_strict
from hms_svc.sdk.payload import parse_payload
from hms_svc.services import builtin_registry

SAMPLES = Path(__file__).resolve().parents[2] / "sample_jobs"
POTHOLE = {"user_id": "usr-1", "lat": 38.9, "lon": -77}
NOTICE = {"case_id": "case-1"}


def model(type: str) -> Any:
    declared = builtin_registry().get(type)
    assert declared is not None
    return declared.payload


@pytest.mark.parametrize(
    ("type", "data"),
    [
        ("pothole.report", POTHOLE),
        ("pothole.report", {**POTHOLE, "lat": 90, "lon": -180.0, "photo": None}),
        ("pothole.report", {**POTHOLE, "size_cm": 30}),
        ("crew.notify", NOTICE),
        ("crew.notify", {**NOTICE, "lat": 1.5, "lon": 2, "urgency": 100, "reasons": ["a"]}),
        ("analysis.run", {}),
        ("analysis.run", {"dataset": "numbers", "values": [1, 2.5], "steps": 1000}),
        ("drill.run", {}),
        ("drill.run", {"act": "exit", "seconds": 3600}),
    ],
)
def test_good_payloads_pass(type: str, data: dict[str, Any]) -> None:
    made = model(type).model_validate(data)
    assert made.model_dump(exclude_unset=True) == data


@pytest.mark.parametrize(
    ("type", "data", "field"),
    [
        ("pothole.report", {"lat": 1.0, "lon": 1.0}, "user_id"),
        ("pothole.report", {**POTHOLE, "user_id": 44321}, "user_id"),
        ("pothole.report", {**POTHOLE, "lat": 90.1}, "lat"),
        ("pothole.report", {**POTHOLE, "lat": "38.9"}, "lat"),
        ("pothole.report", {**POTHOLE, "lat": True}, "lat"),
        ("pothole.report", {**POTHOLE, "lon": -180.5}, "lon"),
        ("pothole.report", {**POTHOLE, "lon": float("nan")}, "lon"),
        ("pothole.report", {**POTHOLE, "photo": ["a.jpg"]}, "photo"),
        ("pothole.report", {**POTHOLE, "photo": "x" * 2049}, "photo"),
        ("crew.notify", {}, "case_id"),
        ("crew.notify", {"case_id": ""}, "case_id"),
        ("crew.notify", {**NOTICE, "urgency": 101}, "urgency"),
        ("crew.notify", {**NOTICE, "urgency": 50.0}, "urgency"),
        ("crew.notify", {**NOTICE, "reasons": "near"}, "reasons"),
        ("analysis.run", {"dataset": "secrets"}, "dataset"),
        ("analysis.run", {"dataset": "numbers"}, ""),
        ("analysis.run", {"steps": 0}, "steps"),
        ("analysis.run", {"steps": 1001}, "steps"),
        ("analysis.run", {"seconds_per_step": 61}, "seconds_per_step"),
        ("analysis.run", {"dataset": "numbers", "values": [1e300]}, "values"),
        ("drill.run", {"act": "explode"}, "act"),
        ("drill.run", {"seconds": -1}, "seconds"),
    ],
)
def test_bad_payloads_are_refused_at_their_field(
    type: str, data: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model(type).model_validate(data)
    (fault,) = caught.value.errors()
    assert (fault["loc"] or ("",))[0] == field


@pytest.mark.parametrize("data", [None, [], "text", 5])
@pytest.mark.parametrize("type", ["pothole.report", "crew.notify", "analysis.run", "drill.run"])
def test_a_payload_that_is_no_object_is_refused(type: str, data: object) -> None:
    with pytest.raises(ValidationError):
        model(type).model_validate(data)


def test_a_payload_model_is_frozen() -> None:
    report = model("pothole.report").model_validate(POTHOLE)
    with pytest.raises(ValidationError, match="frozen"):
        report.lat = 5.0


def test_the_registry_declares_each_type_with_their_terms() -> None:
    registry = builtin_registry()
    assert {one.type for one in registry} == {
        "pothole.report",
        "crew.notify",
        "analysis.run",
        "drill.run",
        "envelope.receive",
        "event.deliver",
    }
    pothole = registry.get("pothole.report")
    assert pothole is not None
    assert pothole.retry is not None
    assert (pothole.retry.max_attempts, pothole.action) == (5, "create_case")
    assert [validator.__name__ for validator in pothole.validators] == ["identity", "duplicate"]


def test_only_a_ready_registry_reads_the_places_file(tmp_path: Path) -> None:
    missing = tmp_path / "none.geojson"
    builtin_registry(places_file=missing)
    with pytest.raises(BadSetting, match="places_file"):
        builtin_registry(places_file=missing, ready=True)


def test_only_a_ready_registry_checks_the_webhook() -> None:
    builtin_registry(webhook_url="https://crew.example/")
    with pytest.raises(BadSetting, match="webhook_secret is missing"):
        builtin_registry(webhook_url="https://crew.example/", ready=True)


def sample(name: str) -> Job:
    return read_job(read_strict((SAMPLES / name).read_bytes()), now_ms=1)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.name)
def test_every_sample_is_a_job_without_an_id_and_only_payload_is_refused(path: Path) -> None:
    assert "id" not in decode(path.read_bytes())
    job = sample(path.name)
    if path.name == "payload.json":
        with pytest.raises(ValidationError, match="lat"):
            model(job.type).model_validate(job.payload())
    else:
        model(job.type).model_validate(job.payload())


def test_every_sample_stands_in_the_readme() -> None:
    text = (SAMPLES / "README.md").read_text(encoding="utf-8")
    missing = [
        path.name
        for path in SAMPLES.iterdir()
        if path.name != "README.md" and f"| `{path.name}` |" not in text
    ]
    assert missing == []


def test_an_error_of_a_model_s_own_code_is_passed_on() -> None:
    class Broken(BaseModel):
        @model_validator(mode="before")
        @classmethod
        def fail(cls, data: Any) -> Any:
            raise TypeError("broken")

    with pytest.raises(TypeError, match="broken"):
        parse_payload(Broken, {})
