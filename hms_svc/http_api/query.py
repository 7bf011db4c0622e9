"""Query parameters: only those that a route reads, each once but for lists, and all faults told at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection

from hms_svc.domain.spelling import did_you_mean

LISTS: Final = frozenset({"type"})
"""Parameters that may stand more than once."""


def check_query(connection: HTTPConnection, *known: str) -> None:
    """Raise RequestValidationError for parameters that nobody reads, or that stand twice.

    The route's own are known, and their wrong values are told too; `known` are those of what is no
    route of the document.
    """
    route = connection.scope.get("route")
    fields = route.dependant.query_params if isinstance(route, APIRoute) else []
    names = [*known, *(field.alias for field in fields)]
    faults = list(_faults(connection, names))
    if faults:
        _, wrong = request_params_to_args(fields, connection.query_params)
        raise RequestValidationError([*faults, *wrong])


def _faults(connection: HTTPConnection, known: list[str]) -> Iterable[dict[str, Any]]:
    there_are = f"there are {', '.join(known)}" if known else "there are none here"
    for name, times in Counter(name for name, _ in connection.query_params.multi_items()).items():
        if name not in known:
            told = did_you_mean(name, known) or f"; {there_are}"
            yield _fault(name, f"unknown query parameter {name!r:.80}{told}")
        elif times > 1 and name not in LISTS:
            yield _fault(name, f"it stands {times} times: give it once")


def _fault(name: str, words: str) -> dict[str, Any]:
    return {"loc": ("query", name[:80]), "msg": words}
