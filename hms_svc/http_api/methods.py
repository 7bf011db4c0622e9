"""The methods of a path: HEAD behaves like GET, and answers of 405 list all methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import Scope

_HEAD: Final = "hms_svc.head"


def as_read(scope: Scope) -> Scope:
    """Return the scope of the GET for a HEAD: its answer is sent without a body."""
    if scope["type"] != "http" or scope["method"] != "HEAD":
        return scope
    return {**scope, "method": "GET", _HEAD: True}


def is_head(request: Request) -> bool:
    """Return whether only the headers of an answer are requested."""
    return _HEAD in request.scope


def allowed(path: str, routes: Iterable[object]) -> str:
    """Return the methods of a path as the header Allow lists them."""
    found: set[str] = set()
    for route in routes:
        if isinstance(route, APIRoute) and route.path_regex.match(path):
            found.update(route.methods or ())
    return ", ".join(sorted(found | {"HEAD"} if "GET" in found else found))
