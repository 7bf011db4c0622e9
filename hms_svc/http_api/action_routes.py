"""The routes of operator actions: path, scope and help are those of the table of actions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hms_svc.http_api.requests import Admitted, admitted
from hms_svc.operations.action_table import BY_NAME, SCOPE
from hms_svc.operations.tokens import Scope

Operator = Annotated[Admitted, Depends(admitted(Scope(SCOPE)))]
"""A sender who may act as an operator."""
Handler: TypeAlias = Callable[..., Awaitable[Response]]


def action_route(
    router: APIRouter, action: str, *, operation: str, detail: str = "", **described: Any
) -> Callable[[Handler], Handler]:
    """Return a decorator that adds the route of an action, by the action's name.

    `operation` is the name of the route in the OpenAPI document, whose description is the help of the action,
    and `detail`; `described` is its description by `describes`.
    """
    found = BY_NAME[action]
    text = f"{found.help} {detail}".rstrip()
    return router.post(found.route, name=operation, description=text, **described)
