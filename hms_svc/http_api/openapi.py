"""The OpenAPI document: routes, named components, the payload models that are served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from hms_svc.domain.ids import JOB_ID, JOB_TYPE
from hms_svc.domain.job import (
    FIRST_VERSION,
    INTERNAL_TYPES,
    MAX_KEY_CHARACTERS,
    MAX_PRIORITY,
    MAX_TRACESTATE_CHARACTERS,
    MOST_VERSIONS,
)
from hms_svc.http_api.answer_schemas import answer_schemas
from hms_svc.http_api.middleware import OPEN_PATHS
from hms_svc.http_api.problems import MEDIA_TYPE
from hms_svc.http_api.route_description import (
    COMES_AGAIN,
    HEADERS,
    PROBLEMS,
    REFERENCE,
    header_reference,
)
from hms_svc.operations.batched_submission import MOST_JOBS
from hms_svc.sdk.job_type import PayloadModel
from hms_svc.sdk.registry import Registry

TAGS: Final = {
    "jobs": "Submit jobs, read them, act on them.",
    "batches": "Jobs that were submitted as one, and what follows them.",
    "streams": "Follow a job, or all events.",
    "queues": "Queues, workers, schedules, failures: the state of the service.",
    "cases": "Cases, and who did what.",
    "envelopes": "CloudEvents of other agencies.",
    "health": "Liveness, readiness and metrics.",
}
_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of `hms-svc tokens create`, or a JWT of the identity provider.",
}
_TYPE: Final = {"type": "string", "pattern": f"^{JOB_TYPE.pattern}$"}
_VALUES: Final = frozenset({"const", "default", "enum", "examples"})


def operation_id(route: APIRoute) -> str:
    """Return the id of a route's operation: its function's name, such as enqueueJobs."""
    first, *others = route.name.split("_")
    return first + "".join(word.capitalize() for word in others)


def describe(app: FastAPI, registry: Registry, bodies: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """Return the whole document; its server is the root of where it was read."""
    document = get_openapi(
        title="hms-svc",
        version=app.version,
        description="The job queue and operator console of a digital government: jobs are validated, checked against policy, run, stored and announced.",
        routes=app.routes,
        servers=server(""),
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
    )
    document["components"] = {
        "schemas": {**_schemas_of(bodies), **_jobs(registry), **_events()},
        "responses": _responses(),
        "headers": {
            name: {"description": text, "schema": schema}
            for name, (text, schema) in HEADERS.items()
        },
        "securitySchemes": {"bearer": _SCHEME},
    }
    document["security"] = [{"bearer": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in OPEN_PATHS:
                operation["security"] = []
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _of_parameter(parameter)
            operation["responses"] = {
                status: _plain_reference(response)
                for status, response in operation["responses"].items()
            }
    return document


def server(prefix: str) -> list[dict[str, str]]:
    """Return the `servers` of a document that is read under this prefix; "" is the root."""
    return [{"url": prefix or "/"}]


def _schemas_of(bodies: Sequence[type[BaseModel]]) -> dict[str, Any]:
    kinds: list[tuple[type[BaseModel], Literal["validation"]]] = [
        (body, "validation") for body in bodies
    ]
    _, defined = models_json_schema(kinds, ref_template=REFERENCE)
    accepted = {"type": "array", "items": _reference("Accepted")}
    return {**_plain(defined.get("$defs", {})), **answer_schemas(), "AcceptedJobs": accepted}


def _jobs(registry: Registry) -> dict[str, Any]:
    """Return the schemas of submitted jobs: a component for each type that declares its payload."""
    found: dict[str, Any] = {"Meta": {"type": "object"}}
    declared = []
    for each in registry:
        if each.payload is not None and each.type not in INTERNAL_TYPES:
            declared.append(each.type)
            found.update(_payload(each.type, each.payload))
            found[f"JobRequest.{each.type}"] = _job(
                {"type": "string", "const": each.type}, _reference(f"JobData.{each.type}")
            )
    known = [*declared, *sorted(INTERNAL_TYPES)]
    found["JobRequestOfOtherType"] = _job({**_TYPE, "not": {"enum": known}}, {})
    one = [_reference("JobRequestOfOtherType")]
    if declared:
        places = {type: REFERENCE.format(model=f"JobRequest.{type}") for type in declared}
        found["JobRequestOfDeclaredType"] = {
            "oneOf": [{"$ref": place} for place in places.values()],
            "discriminator": {"propertyName": "type", "mapping": places},
        }
        one.insert(0, _reference("JobRequestOfDeclaredType"))
    found["JobRequest"] = {"anyOf": one}
    found["JobRequests"] = {
        "type": "array",
        "items": _reference("JobRequest"),
        "minItems": 1,
        "maxItems": MOST_JOBS,
    }
    return found


def _payload(type: str, payload: PayloadModel) -> Iterator[tuple[str, Any]]:
    name = f"JobData.{type}"
    template = REFERENCE.format(model=f"{name}.{{model}}")
    schema = TypeAdapter(payload).json_schema(ref_template=template)
    for nested, each in schema.pop("$defs", {}).items():
        each.pop("title", None)
        yield f"{name}.{nested}", each
    schema.pop("title", None)  # Generators would give two types' models the same name.
    yield name, schema


def _job(type: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    time = {"type": "string", "format": "date-time"}
    key = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS}
    return {
        "type": "object",
        "required": ["type", "data"],
        "properties": {
            "id": _or_null({"type": "string", "pattern": f"^{JOB_ID.pattern}$"}),
            "type": type,
            "data": data,
            "not_before": _or_null(time),
            "expires_at": _or_null(time),
            "priority": _or_null(_whole(-MAX_PRIORITY, MAX_PRIORITY)),
            "max_attempts": _or_null(_whole(1, 1000)),
            "unique_key": _or_null(key),
            "traceparent": _or_null(key),
            "tracestate": _or_null({"type": "string", "maxLength": MAX_TRACESTATE_CHARACTERS}),
            "meta": _or_null(_reference("Meta")),
            "version": _or_null(_whole(FIRST_VERSION, MOST_VERSIONS)),
        },
    }


def _events() -> dict[str, Any]:
    """Return the schema of CloudEvents 1.0; extension attributes are further members."""
    text = {"type": "string", "minLength": 1}
    event = {
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {"type": "string", "const": "1.0"},
            "id": text,
            "source": {**text, "format": "uri-reference"},
            "type": text,
            "subject": text,
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": text,
            "dataschema": {**text, "format": "uri"},
            "data": {},
            "data_base64": {"type": "string", "contentEncoding": "base64"},
        },
        "additionalProperties": True,
    }
    return {
        "CloudEvent": event,
        "CloudEvents": {"type": "array", "items": _reference("CloudEvent")},
    }


def _responses() -> dict[str, Any]:
    found = {"Error": _problem("What went wrong.")}
    for status, (name, text) in PROBLEMS.items():
        found[name] = _problem(text)
        if status in COMES_AGAIN:
            found[name]["headers"] = {"Retry-After": header_reference("Retry-After")}
        elif status in {401, 403}:
            found[name]["headers"] = {"WWW-Authenticate": header_reference("WWW-Authenticate")}
    return found


def _problem(text: str) -> dict[str, Any]:
    return {
        "description": f"{text} Problem details (RFC 9457).",
        "content": {MEDIA_TYPE: {"schema": _reference("Problem")}},
    }


def _of_parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    if (parameter["in"], parameter["name"]) == ("path", "type"):
        return dict(_TYPE)
    return _without_null(_plain(parameter["schema"]))


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema for a value that is left out rather than null."""
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    others = {name: each for name, each in schema.items() if name != "anyOf"}
    return {**others, **choices[0]} if len(choices) == 1 else schema


def _plain_reference(response: dict[str, Any]) -> dict[str, Any]:
    return {"$ref": response["$ref"]} if "$ref" in response else response


def _plain(schema: Any) -> Any:
    """Return a schema without pydantic's additions: titles made of names, and None as a default."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: each if name in _VALUES else _plain(each)
        for name, each in schema.items()
        if not (name == "title" and isinstance(each, str))
        and not (name == "default" and each is None)
    }


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _whole(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": REFERENCE.format(model=name)}
