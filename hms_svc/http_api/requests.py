"""What every route does with a request: authentication, strict parsing of the body, an answer in JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hms_svc.domain.errors import FieldFault, MalformedJob
from hms_svc.domain.strict_json import JsonValue, encode, read_strict
from hms_svc.http_api.authentication import Principal
from hms_svc.http_api.context import ApiContext, context_of
from hms_svc.http_api.problems import Problem
from hms_svc.http_api.query import check_query
from hms_svc.operations.service import Operations
from hms_svc.operations.tokens import Scope
from hms_svc.ports.side_thread import aside
from hms_svc.sdk.payload import PayloadFault, parse_payload

ModelT = TypeVar("ModelT", bound="Body")
JSON: Final = "application/json"


class Body(BaseModel):
    """A body that a route reads: unknown members are rejected by name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Note(Body):
    """The reason; recorded in the audit log and with the job."""

    note: str = Field(default="", max_length=1000)


class Admitted:
    """An admitted request: what its route needs from it."""

    def __init__(self, request: Request, api: ApiContext, principal: Principal) -> None:
        self.request = request
        self.api = api
        self.principal = principal

    @property
    def operations(self) -> Operations:
        """The operator service, with the sender as the actor."""
        return self.api.operations(self.principal.actor)


def admitted(scope: Scope | None) -> Callable[[Request], Awaitable[Admitted]]:
    """Return the dependency of a route that requires this scope; None means any token."""

    async def admit(request: Request) -> Admitted:
        api = context_of(request)
        principal = await api.admit(request.headers.get("authorization"), scope)
        check_query(request)
        return Admitted(request, api, principal)

    return admit


def check_json(request: Request, *further: str) -> str:
    """Return the media type of a body, in lower case; Problem 415 for an unsupported one."""
    content_type = request.headers.get("content-type", "")
    media_type, _, parameters = content_type.lower().partition(";")
    media_type = media_type.strip()
    is_expected = media_type == JSON or media_type in further
    if not is_expected or (parameters and not _is_utf8(parameters)):
        expected = " or ".join((JSON, *further))
        raise Problem(
            415, "unsupported-media-type", f"content-type {content_type!r:.80}: expected {expected}"
        )
    return media_type


async def read_body(request: Request, model: type[ModelT]) -> ModelT:
    """Parse a body as the model; an empty one as an object without members."""
    raw = await request.body()
    if raw or "content-type" in request.headers:
        check_json(request)
    return await aside(len(raw), lambda: _parsed(model, read_strict(raw) if raw else {}))


def _is_utf8(parameters: str) -> bool:
    """Return whether no parameter of a media type names another charset: JSON has only this one."""
    named = [each.strip() for each in parameters.split(";")]
    charsets = [each for each in named if each.startswith("charset")]
    return not charsets or charsets in (["charset=utf-8"], ['charset="utf-8"'])


def _parsed(model: type[ModelT], value: JsonValue) -> ModelT:
    try:
        found = parse_payload(model, value)
    except PayloadFault as error:
        faults = [
            FieldFault(_in_body(fault.field), _as_text(fault.detail)) for fault in error.faults
        ]
        raise MalformedJob(_as_text(str(error)), faults[0].field, faults) from error
    assert isinstance(found, model)
    return found


def _in_body(field: str) -> str:
    return field.removeprefix("data").lstrip(".")


def _as_text(message: str) -> str:
    return message.replace("data.", "").replace("data:", "the body:")


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(encode(value), status, headers, JSON)
