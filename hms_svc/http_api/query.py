"""Query parameters: only those that a route reads, each once except for lists; all faults are reported together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection

from hms_svc.domain.suggestions import did_you_mean

LISTS: Final = frozenset({"type"})
"""Parameters that may occur more than once."""


def check_query(connection: HTTPConnection, *known: str) -> None:
    """Raise RequestValidationError for unknown parameters, or those that occur twice.

    The route's own are known, and their invalid values are reported too; `known` are those of paths that are
    not in the OpenAPI document.
    """
    if not connection.scope["query_string"]:
        return
    route = connection.scope.get("route")
    fields = route.dependant.query_params if isinstance(route, APIRoute) else []
    names = [*known, *(field.alias for field in fields)]
    faults = list(_faults(connection, names))
    if faults:
        _, wrong = request_params_to_args(fields, connection.query_params)
        raise RequestValidationError([*faults, *wrong])


def _faults(connection: HTTPConnection, known: list[str]) -> Iterable[dict[str, Any]]:
    alternatives = f"the parameters are {', '.join(known)}" if known else "there are none here"
    for name, times in Counter(name for name, _ in connection.query_params.multi_items()).items():
        if name not in known:
            hint = did_you_mean(name, known) or f"; {alternatives}"
            yield _fault(name, f"unknown query parameter {name!r:.80}{hint}")
        elif times > 1 and name not in LISTS:
            yield _fault(name, f"it occurs {times} times, but may occur only once")


def _fault(name: str, message: str) -> dict[str, Any]:
    return {"loc": ("query", name[:80]), "msg": message}
