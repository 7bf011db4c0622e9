"""The description of each route for the OpenAPI document: its body, its answers, its errors."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

REFERENCE: Final = "#/components/schemas/{model}"
_RESPONSE: Final = "#/components/responses/{name}"
_HEADER: Final = "#/components/headers/{name}"
_JSON: Final = "application/json"
ALWAYS: Final = (400, 401, 403, 421, 429, 500, 503)
"""The errors of every route that requires a token."""
WITH_BODY: Final = (408, 413, 415, 422)
PROBLEMS: Final[dict[int, tuple[str, str]]] = {
    400: ("BadInput", "A parameter or header is invalid: `errors` names each."),
    401: ("Unauthorized", "A token is required, or this one is unknown, revoked or expired."),
    403: ("Forbidden", "The token lacks the scope, or the origin of the page is not allowed."),
    404: ("NotFound", "Nothing has this id."),
    408: ("BodyTooSlow", "The body did not arrive in time."),
    409: ("Conflict", "The id is in use with other data, or the state does not allow it."),
    412: ("HoldChanged", "The job, or one of the jobs, waits for another decision by now."),
    413: ("BodyTooLarge", "The body is larger than 8 MiB."),
    415: (
        "UnsupportedMediaType",
        "The content type of the body is not supported, or it is compressed.",
    ),
    421: ("UnknownHost", "The host is not one that this service answers for: see http_hosts."),
    422: (
        "Unprocessable",
        "The body is invalid (`errors` names each field), or cannot be processed.",
    ),
    428: ("PreconditionRequired", "To approve or deny, the hold must be named."),
    429: (
        "TooManyRequests",
        "The limit of waiting jobs of the type, or the rate of the token, is reached.",
    ),
    500: ("InternalError", "An error of the service; the log has the details."),
    503: ("Unavailable", "The intake is paused, or the broker or the database cannot be reached."),
}
"""Name and description of each error's component."""
COMES_AGAIN: Final = (429, 503)
"""Errors that state when to retry."""
HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "Location": (
        "The path of the job: GET /jobs/{job_id}.",
        {"type": "string", "format": "uri-reference"},
    ),
    "Idempotency-Replayed": (
        "`true` if the request came before; this is the answer that it got then.",
        {"type": "string", "const": "true"},
    ),
    "Retry-After": ("Seconds to wait before the next request.", {"type": "integer", "minimum": 0}),
    "WWW-Authenticate": ("How to authenticate (RFC 6750).", {"type": "string"}),
}
"""Description and schema of the headers of answers."""
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Repeated within a day with the same key, the request gets its first answer again.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that was received; continues after it.",
    "schema": {"type": "string", "pattern": "^([0-9]{1,18}|end)$"},
}
_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": "The id of the hold, in double quotes.",
    "schema": {"type": "string", "pattern": '^"[!#-~]{1,64}"$'},
}
_OF_EVENT: Final = {
    "ce-specversion": "The version of CloudEvents, 1.0; with it the event is in binary mode.",
    "ce-id": "The event's id, unique at its source.",
    "ce-source": "The sender: a URI reference.",
    "ce-type": "The type of the event.",
    "ce-subject": "What the event is about.",
    "ce-time": "The time, in RFC 3339.",
    "ce-dataschema": "The schema of the data: a URI.",
}
"""Headers of an event in binary mode; extension attributes are `ce-NAME` headers too."""


def describes(
    answers: str | tuple[str, ...],
    status: int = 200,
    *,
    body: str | tuple[str, ...] | None = None,
    required: bool = False,
    headers: tuple[str, ...] = (),
    parameters: tuple[dict[str, Any], ...] = (),
    problems: tuple[int, ...] = (),
) -> dict[str, Any]:
    """Return the description of a route: its answer and its body, by the names of their schemas.

    Of several names it is one of them. `headers` are those of the answer, `problems` the errors
    besides the usual ones.
    """
    content = {_JSON: {"schema": _any_of(answers)}}
    described = _described(
        status,
        "Accepted." if status == 202 else "Success.",
        content,
        parameters=parameters,
        problems=problems,
        body=body,
    )
    if headers:
        described["responses"][status]["headers"] = _headers(*headers)
    if body is not None:
        of_body = {_JSON: {"schema": _any_of(body)}}
        described["openapi_extra"]["requestBody"] = {"required": required, "content": of_body}
    return described


def intake() -> dict[str, Any]:
    """Return the description of the route that jobs are submitted to."""
    return describes(
        ("Accepted", "AcceptedJobs"),
        202,
        body=("JobRequest", "JobRequests"),
        required=True,
        headers=("Location", "Idempotency-Replayed"),
        parameters=(_IDEMPOTENCY_KEY,),
        problems=(409,),
    )


def decides() -> dict[str, Any]:
    """Return the description of a route that approves or denies one job."""
    problems = (404, 409, 412, 428)
    return describes("Outcome", body="Note", parameters=(_IF_MATCH,), problems=problems)


def envelope() -> dict[str, Any]:
    """Return the description of the route of envelopes."""
    parameters = tuple(
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in _OF_EVENT.items()
    )
    described = describes(
        "Received", 202, body="CloudEvent", parameters=parameters, problems=(409,)
    )
    content = {
        "application/cloudevents+json": {"schema": _reference("CloudEvent")},
        # Generators that distinguish bodies by their Python class cannot do so for an array.
        "application/cloudevents-batch+json": {
            "schema": {"allOf": [_reference("CloudEvents"), {"minItems": 1}]}
        },
        _JSON: {},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "*/*": {"schema": {"type": "string", "format": "binary"}},
    }
    described["openapi_extra"]["requestBody"] = {
        "required": True,
        "description": (
            "An event, a batch of them, or, in binary mode, the data of the event that the "
            "headers describe, of any content type."
        ),
        "content": content,
    }
    return described


def event_stream(text: str, *, ends: bool) -> dict[str, Any]:
    """Return the description of a route that answers with server-sent events; `ends`: those of a job."""
    content = {"text/event-stream": {"schema": {"type": "string"}}}
    problems = (404,) if ends else ()
    described = _described(200, text, content, parameters=(_LAST_EVENT_ID,), problems=problems)
    if ends:
        described["responses"][204] = {
            "description": "Everything was received: `Last-Event-ID` is `end`."
        }
    return described


def plain_status(text: str) -> dict[str, Any]:
    """Return the description of a route that needs no token and answers with a word, also with 503."""
    content = {"text/plain": {"schema": {"type": "string"}}}
    answer = {"description": text, "content": content}
    responses: dict[int | str, Any] = {200: answer, 503: answer}
    responses |= {status: _problem(status) for status in (400, 500)}
    return {"response_class": Response, "responses": responses | _OTHERWISE}


def metrics(text: str) -> dict[str, Any]:
    """Return the description of the route of metrics."""
    schema = {"schema": {"type": "string"}}
    content = {"text/plain": schema, "application/openmetrics-text": schema}
    return _described(200, text, content)


def problem_name(status: int) -> str:
    """Return the name of an error's component."""
    return PROBLEMS[status][0]


def header_reference(name: str) -> dict[str, Any]:
    """Return a reference to a header of answers."""
    return {"$ref": _HEADER.format(name=name)}


def _described(
    status: int,
    text: str,
    content: dict[str, Any],
    *,
    body: object = None,
    parameters: tuple[dict[str, Any], ...] = (),
    problems: tuple[int, ...] = (),
) -> dict[str, Any]:
    responses: dict[int | str, Any] = {status: {"description": text, "content": content}}
    usual = {*ALWAYS, *problems, *(WITH_BODY if body is not None else ())}
    responses |= {each: _problem(each) for each in sorted(usual)}
    return {
        "status_code": status,
        "response_class": Response,  # It has no media type of its own.
        "responses": responses | _OTHERWISE,
        "openapi_extra": {"parameters": list(parameters)} if parameters else {},
    }


def _any_of(names: str | tuple[str, ...]) -> dict[str, Any]:
    if isinstance(names, str):
        return _reference(names)
    return {"anyOf": [_reference(name) for name in names]}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": REFERENCE.format(model=name)}


def _problem(status: int) -> dict[str, Any]:
    return {"$ref": _RESPONSE.format(name=problem_name(status))}


def _headers(*names: str) -> dict[str, Any]:
    return {name: header_reference(name) for name in names}


_OTHERWISE: Final[dict[int | str, Any]] = {"default": {"$ref": _RESPONSE.format(name="Error")}}
