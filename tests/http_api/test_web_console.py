"""The console in a browser: the program's own, on a terminal behind a socket."""

from __future__ import annotations

import asyncio
import json
import os
import pty
from typing import cast

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from hms_svc.domain.errors import DatabaseUnavailable
from hms_svc.http_api import access_recheck
from hms_svc.http_api.browser_console import BrowserConsole
from hms_svc.http_api.routes import web_console
from hms_svc.operations.tokens import Scope
from tests.support.api import ApiService, ServiceMaker


async def shown(socket: ClientConnection, *words: str) -> None:
    """Read what the terminal shows until all of the words were there."""
    seen = ""
    async with asyncio.timeout(60):
        async for data in socket:
            seen += data.decode(errors="replace") if isinstance(data, bytes) else ""
            if all(word in seen for word in words):
                return
    raise AssertionError(f"the console ended after {seen[-500:]!r}")


@pytest.fixture
async def web(make_service: ServiceMaker) -> ApiService:
    return await make_service(web=True)


async def test_a_bearer_who_may_look_sees_the_console_and_cannot_act(web: ApiService) -> None:
    token = (await web.token(Scope.VIEW))["authorization"].removeprefix("Bearer ")
    page = await web.client.get("/console")
    assert (page.status_code, 'type="password"' in page.text) == (401, True)
    signed = await web.client.post("/console", data={"token": token})
    assert signed.status_code == 303
    cookie = signed.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/console"))
    page = await web.client.get("/console")
    url = f"ws://127.0.0.1:{web.port}/console/socket"
    assert 'data-socket-path="/console/socket"' in page.text
    for script in ("textual", "console"):
        assert f'<script src="/console/js/{script}.js"' in page.text
        asset = await web.client.get(f"/console/js/{script}.js")
        assert (asset.status_code, "sessionWebsocketUrl" in asset.text) == (200, True)
    headers = {"cookie": f"hms-console={token}"}
    async with connect(f"{url}?width=100&height=30", additional_headers=headers) as socket:
        await shown(socket, "Overview", "read-only")
        await socket.send(json.dumps(["resize", {"width": 80, "height": 40}]))
        await shown(socket, "\x1b[40;1H")  # the cursor goes to a line that there was not
        await socket.send(json.dumps(["stdin", "2"]))
        await shown(socket, "Jobs")
        await socket.send(json.dumps(["stdin", "q"]))
        async with asyncio.timeout(60):
            async for _ in socket:
                pass
    assert socket.close_code == 1000


@pytest.mark.parametrize(
    "headers",
    [{}, {"cookie": "hms-console=hms_000000000000_x"}, {"origin": "https://evil.example"}],
)
async def test_nobody_else_gets_a_terminal(web: ApiService, headers: dict[str, str]) -> None:
    await web.token(Scope.VIEW)
    url = f"ws://127.0.0.1:{web.port}/console/socket"
    with pytest.raises(InvalidStatus):
        async with connect(url, additional_headers=headers, origin=None):
            pass


async def test_a_token_that_may_not_look_does_not_sign_in(web: ApiService) -> None:
    token = (await web.token(Scope.PRODUCE))["authorization"].removeprefix("Bearer ")
    signed = await web.client.post("/console", data={"token": token})
    assert signed.status_code == 403
    assert "set-cookie" not in signed.headers


async def test_places_are_kept_from_before_a_console_starts(
    web: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Event()

    async def starting(*_: object, **__: object) -> None:
        await tried.wait()
        raise DatabaseUnavailable("no console is needed here")

    monkeypatch.setattr(web_console, "MOST_CONSOLES", 1)
    monkeypatch.setattr(BrowserConsole, "start", starting)
    url = f"ws://127.0.0.1:{web.port}/console/socket"
    async with connect(url):
        with pytest.raises(InvalidStatus):
            async with connect(url):
                pass
        tried.set()


class Silent:
    """A console that shows nothing."""

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def close(self) -> None:
        pass


async def test_a_console_ends_with_its_token(
    web: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(*_: object, **__: object) -> Silent:
        return Silent()

    monkeypatch.setattr(BrowserConsole, "start", start)
    monkeypatch.setattr(access_recheck, "RECHECK_SECONDS", -1.0)
    monkeypatch.setattr(web_console, "RECHECK_SECONDS", 0.01)
    tokens = web.api.operations("tester").tokens
    token, bearer = await tokens.create("portal", [Scope.VIEW])
    headers = {"cookie": f"hms-console={bearer.text}"}
    url = f"ws://127.0.0.1:{web.port}/console/socket"
    async with connect(url, additional_headers=headers) as socket, asyncio.timeout(30):
        await tokens.revoke(token.id)
        await socket.wait_closed()
    assert socket.close_code == 1008


async def test_a_console_that_nobody_reads_does_not_wake_the_loop() -> None:
    terminal, theirs = pty.openpty()
    console = BrowserConsole(cast("asyncio.subprocess.Process", None), terminal)
    try:
        os.write(theirs, b"first")
        assert await console.read() == b"first"
        assert not asyncio.get_running_loop().remove_reader(terminal)
    finally:
        os.close(theirs)
        os.close(terminal)


async def test_behind_a_proxy_with_tls_the_cookie_is_secure(make_service: ServiceMaker) -> None:
    origin = "https://jobs.example"
    web = await make_service(web=True, http_origins=(origin,))
    signed = await web.client.post("/console", data={"token": "x"}, headers={"origin": origin})
    assert "secure" in signed.headers["set-cookie"].lower()
    plain = await web.client.post("/console", data={"token": "x"})
    assert "secure" not in plain.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("path", "mode", "dest", "status"),
    [
        ("/console", "navigate", "document", 200),
        ("/console", "navigate", "iframe", 403),
        ("/console", "cors", "empty", 403),
        ("/jobs", "navigate", "document", 403),
    ],
)
async def test_another_site_may_link_to_the_console_and_no_more(
    web: ApiService, path: str, mode: str, dest: str, status: int
) -> None:
    fetched = {"sec-fetch-site": "cross-site", "sec-fetch-mode": mode, "sec-fetch-dest": dest}
    assert (await web.client.get(path, headers=fetched)).status_code == status


async def test_without_the_option_there_is_no_console(service: ApiService) -> None:
    assert (await service.client.get("/console")).status_code == 404
