"""The console in a browser: a page, a token kept in a cookie of this path, and a WebSocket for the terminal."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from fastapi import APIRouter, Request, WebSocket
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.websockets import WebSocketDisconnect

from hms_svc.http_api.access_recheck import RECHECK_SECONDS, AccessRecheck
from hms_svc.http_api.authentication import Principal
from hms_svc.http_api.browser_console import BrowserConsole
from hms_svc.http_api.context import ApiContext, context_of
from hms_svc.http_api.problems import Problem
from hms_svc.http_api.proxies import prefix_of
from hms_svc.http_api.shared_streams import woken
from hms_svc.http_api.slow_clients import TERMINAL_PATH
from hms_svc.operations.tokens import Scope
from hms_svc.settings import child_environment

log: Final = logging.getLogger("hms_svc.http")
router: Final = APIRouter(include_in_schema=False)
COOKIE: Final = "hms-console"
COOKIE_SECONDS: Final = 12 * 3600
MOST_CONSOLES: Final = 16
NOT_ALLOWED: Final = 1008
_OURS: Final = ("console.js",)
_ASSETS: Final = (
    "js/console.js",
    "js/textual.js",
    "css/xterm.css",
    "fonts/RobotoMono-VariableFont_wght.ttf",
)
_HERE: Final = files("hms_svc.http_api") / "pages"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'"
)


@router.get("/console")
async def page(request: Request) -> Response:
    """Return the terminal, or ask for a token with the scope view if there is none."""
    api = context_of(request)
    try:
        await _principal(api, request.cookies.get(COOKIE))
    except Problem as error:
        return _page(request, "sign_in.html", status=error.status_code)
    return _page(request, "console.html")


@router.post("/console")
async def sign_in(request: Request) -> Response:
    """Keep a token with the scope view in a cookie that no script can read."""
    fields = parse_qs((await request.body()).decode("ascii", "replace"), max_num_fields=4)
    token = fields.get("token", [""])[0].strip()
    try:
        await _principal(context_of(request), token)
    except Problem as error:
        return _page(request, "sign_in.html", status=error.status_code)
    path = prefix_of(request) + "/console"
    response = RedirectResponse(path, 303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=COOKIE_SECONDS,
        path=path,
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )
    return response


@router.get("/console/{folder}/{name}")
async def asset(folder: str, name: str) -> Response:
    """Return a file of the terminal's page."""
    if f"{folder}/{name}" not in _ASSETS:
        raise Problem(404, "not-found", "there is no such path")
    static = files("textual_serve") / "static" / folder
    return FileResponse(Path(str((_HERE if name in _OURS else static) / name)))


@router.websocket(TERMINAL_PATH)
async def terminal(socket: WebSocket) -> None:
    """Run a console for as long as the WebSocket is open; with the scope view alone it is read-only."""
    api = socket.app.state.api
    assert isinstance(api, ApiContext)
    token = socket.cookies.get(COOKIE)
    principal = await _principal(api, token)
    columns, lines = _size(socket.query_params)
    with _place():
        await socket.accept()
        console = await BrowserConsole.start(
            child_environment(msgspec.structs.replace(api.settings, actor=principal.actor)),
            read_only=not principal.may(Scope.OPERATE),
            columns=columns,
            lines=lines,
        )
        client = socket.client.host if socket.client else "an unnamed address"
        log.info("opened a console for %s at %s", principal.actor, client)
        try:
            await _bridge(api, socket, console, AccessRecheck(api, _bearer(token)))
        finally:
            await console.close()


_open: Final[set[object]] = set()


@contextmanager
def _place() -> Iterator[None]:
    """Reserve one of the places before its console starts: many may start at once."""
    if len(_open) >= MOST_CONSOLES:
        raise Problem(503, "busy", f"{MOST_CONSOLES} consoles are already open, the limit")
    place = object()
    _open.add(place)
    try:
        yield
    finally:
        _open.discard(place)


async def _bridge(
    api: ApiContext, socket: WebSocket, console: BrowserConsole, recheck: AccessRecheck
) -> None:
    tasks = [
        asyncio.create_task(_show(socket, console), name="console-show"),
        asyncio.create_task(_type(socket, console), name="console-keys"),
        asyncio.create_task(_watch_access(api, recheck), name="console-access"),
    ]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    try:
        for task in tasks:
            if not task.cancelled():
                task.result()
        await socket.close()
    except Problem as error:
        log.info("a console ends: %s", error.detail)
        await socket.close(NOT_ALLOWED)
    except (WebSocketDisconnect, RuntimeError):
        log.debug("the browser had disconnected")


async def _show(socket: WebSocket, console: BrowserConsole) -> None:
    while shown := await console.read():
        await socket.send_bytes(shown)


async def _type(socket: WebSocket, console: BrowserConsole) -> None:
    try:
        while True:
            await _take(socket, console, json.loads(await socket.receive_text()))
    except (ValueError, KeyError, TypeError, RecursionError):  # never sent by the console's page
        log.info("an invalid message of a browser ended its console")


async def _take(socket: WebSocket, console: BrowserConsole, message: Any) -> None:
    match message:
        case ["stdin", str(keys)]:
            console.write(keys)
        case ["resize", dict(size)]:
            console.resize(*_size(size))
        case ["ping", str(payload)]:
            await socket.send_text(json.dumps(["pong", payload]))


async def _watch_access(api: ApiContext, recheck: AccessRecheck) -> None:
    """End with the HTTP server, or with the Problem of a token that is no longer valid."""
    while not await woken(api.closing, RECHECK_SECONDS):
        await recheck.check()


async def _principal(api: ApiContext, token: str | None) -> Principal:
    return await api.admit(_bearer(token), Scope.VIEW)


def _bearer(token: str | None) -> str | None:
    return f"Bearer {token}" if token else None


def _size(requested: Any) -> tuple[int, int]:
    def whole(name: str, otherwise: int) -> int:
        found = str(requested.get(name) or "")
        return int(found) if found.isdecimal() and len(found) < 5 else otherwise

    return whole("width", 80), whole("height", 24)


def _is_secure(request: Request) -> bool:
    """Return whether the page came over TLS: the middleware only admits our own origin."""
    origin = request.headers.get("origin", "").lower()
    return request.url.scheme == "https" or origin.startswith("https://")


def _page(request: Request, name: str, *, status: int = 200) -> Response:
    text = (_HERE / name).read_text(encoding="utf-8")
    text = text.replace("{socket}", "{prefix}" + TERMINAL_PATH)
    text = text.replace("{prefix}", prefix_of(request))
    return HTMLResponse(text, status, {"content-security-policy": _POLICY})
