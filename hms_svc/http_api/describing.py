"""The OpenAPI document: routes, shapes, and the payload models of the types that are served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from hms_svc.domain.ids import JOB_ID, JOB_TYPE
from hms_svc.domain.job import INTERNAL_TYPES, MAX_PRIORITY
from hms_svc.handling.registry import Registry
from hms_svc.http_api import schemas
from hms_svc.http_api.problems import MEDIA_TYPE
from hms_svc.http_api.walls import OPEN_PATHS

REFERENCE: Final = "#/components/schemas/{model}"
_SCHEME: Final = {"bearer": {"type": "http", "scheme": "bearer"}}
_TYPE_PATTERN: Final = f"^{JOB_TYPE.pattern}$"
_NOT_TAKEN: Final = {
    409: "An id belongs to a job with other data.",
    413: "The body is larger than 8 MiB.",
    415: "The body is not JSON by its content type, or is compressed.",
    422: "A job is at fault (`errors` names each field), or the key came with another request.",
    429: "As many jobs of the type wait as may, or the token's rate is reached: see Retry-After.",
    503: "The intake is paused, or broker or database is away: see Retry-After.",
}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Repeated within a day, the request is answered as it was the first time.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that came: goes on after it.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}
_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "description": "The id of the hold that was seen, in double quotes: needed to approve or deny.",
    "schema": {"type": "string", "pattern": '^"[!#-~]{1,64}"$'},
}
_NO_MATCH: Final = {
    412: "The job, or one of the jobs, waits for another hold now.",
    428: "To approve or deny, what was seen has to be named.",
}
_TIME: Final = {"type": ["string", "null"], "format": "date-time"}


def described(answers: str, status: int = 200) -> dict[str, Any]:
    """Give what a route tells of its answer: the name of a class in `schemas`."""
    return {"responses": {status: {"model": getattr(schemas, answers)}, "default": _PROBLEM}}


def describes(body: str | None, *, answers: str) -> dict[str, Any]:
    """Give what a route tells of its body, by the name of its schema, and of its answer."""
    told: dict[str, Any] = {
        "responses": {"2XX": {"model": getattr(schemas, answers)}, "default": _PROBLEM}
    }
    if body is not None:
        content = {"application/json": {"schema": {"$ref": _reference(body)}}}
        told["openapi_extra"] = {"requestBody": {"required": False, "content": content}}
    return told


def decides(body: str, *, of_one: bool) -> dict[str, Any]:
    """Return what a route tells that may approve or deny."""
    told = describes(body, answers="Outcome")
    told["responses"] |= {
        status: {**_PROBLEM, "description": words} for status, words in _NO_MATCH.items()
    }
    if of_one:
        told["openapi_extra"]["parameters"] = [_IF_MATCH]
    return told


def intake() -> dict[str, Any]:
    """Give what the route tells that jobs are handed in by."""
    told = describes("JobRequest", answers="Accepted")
    told["responses"] |= {
        status: {**_PROBLEM, "description": words} for status, words in _NOT_TAKEN.items()
    }
    told["openapi_extra"]["requestBody"]["required"] = True
    told["openapi_extra"]["parameters"] = [_IDEMPOTENCY_KEY]
    return told


def envelope() -> dict[str, Any]:
    """Give what the route of envelopes tells."""
    event = {"type": "object", "required": ["specversion", "id", "source", "type"]}
    content = {
        "application/cloudevents+json": {"schema": event},
        "application/cloudevents-batch+json": {"schema": {"type": "array", "items": event}},
        "application/json": {"schema": {}},
    }
    return {
        "responses": {"2XX": {"model": schemas.Received}, "default": _PROBLEM},
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
    }


def event_stream(words: str) -> dict[str, Any]:
    """Give what a route tells that answers with server-sent events."""
    content = {"text/event-stream": {"schema": {"type": "string"}}}
    return {**_of_content(words, content), "openapi_extra": {"parameters": [_LAST_EVENT_ID]}}


def plain_text(words: str, *further: int) -> dict[str, Any]:
    """Give what a route tells that answers with a word or a text; with these statuses too."""
    content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    told = _of_content(words, content)
    for status in further:
        told["responses"][status] = {"description": words, "content": content}
    return told


def describe(app: FastAPI, registry: Registry, bodies: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """Make the whole document."""
    document = get_openapi(
        title="hms-svc",
        version=app.version,
        description="Jobs in, validated, vetted, stored and announced.",
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SCHEME
    document["security"] = [{"bearer": []}]
    found = components.setdefault("schemas", {})
    found.update(_schemas_of(bodies))
    found.update(_payloads(registry))
    found["JobRequest"] = _job_request(registry)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in OPEN_PATHS:
                operation["security"] = []
            for parameter in operation.get("parameters", ()):
                if (parameter["in"], parameter["name"]) == ("path", "type"):
                    parameter["schema"]["pattern"] = _TYPE_PATTERN
    return document


def _schemas_of(models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    kinds: list[tuple[type[BaseModel], Literal["validation"]]] = [
        (model, "validation") for model in models
    ]
    _, defined = models_json_schema(kinds, ref_template=REFERENCE)
    schemas_found: dict[str, Any] = defined.get("$defs", {})
    return schemas_found


def _payloads(registry: Registry) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for declared in registry:
        if declared.payload is not None:
            template = REFERENCE.format(model=f"{declared.type}.{{model}}")
            schema = TypeAdapter(declared.payload).json_schema(ref_template=template)
            for name, nested in schema.pop("$defs", {}).items():
                found[f"{declared.type}.{name}"] = nested
            found[declared.type] = schema
    return found


def _job_request(registry: Registry) -> dict[str, Any]:
    jobs = [
        _job({"const": declared.type}, {"$ref": _reference(declared.type)})
        for declared in registry
        if declared.payload is not None and declared.type not in INTERNAL_TYPES
    ]
    known = [declared.type for declared in registry if declared.payload is not None]
    any_type = {"type": "string", "pattern": _TYPE_PATTERN, "not": {"enum": known}}
    one = {"anyOf": [*jobs, _job(any_type, {})]}
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": 10_000}]}


def _job(type: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", "data"],
        "properties": {
            "id": {"type": ["string", "null"], "pattern": f"^{JOB_ID.pattern}$"},
            "type": type,
            "data": data,
            "not_before": _TIME,
            "expires_at": _TIME,
            "priority": _whole(-MAX_PRIORITY, MAX_PRIORITY),
            "max_attempts": _whole(1, 1000),
            "unique_key": {"type": ["string", "null"], "minLength": 1, "maxLength": 256},
            "meta": {"type": ["object", "null"]},
        },
    }


def _whole(low: int, high: int) -> dict[str, Any]:
    return {"type": ["integer", "null"], "minimum": low, "maximum": high}


def _reference(name: str) -> str:
    return REFERENCE.format(model=name)


def _of_content(words: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"responses": {200: {"description": words, "content": content}, "default": _PROBLEM}}


_PROBLEM: Final = {
    "description": "What went wrong (RFC 9457).",
    "content": {MEDIA_TYPE: {"schema": {"$ref": _reference("Problem")}}},
}
