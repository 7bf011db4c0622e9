"""A real HTTP server on a real socket, with the test's own broker and database."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
from msgspec.structs import replace

from hms_svc import bootstrap
from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition
from hms_svc.http_api import authentication
from hms_svc.http_api.app import BODIES, make_app, routed
from hms_svc.http_api.context import ApiContext
from hms_svc.http_api.listen_socket import listen
from hms_svc.http_api.openapi import describe
from hms_svc.http_api.protocol import BoundedProtocol
from hms_svc.http_api.server import names_of, serve
from hms_svc.http_api.slow_clients import WriteTimeout
from hms_svc.operations import admission
from hms_svc.operations.tokens import Scope
from hms_svc.ports.backend import Backend
from hms_svc.ports.broker import ClaimRequest, ProgressReport, ServedType, Settlement
from hms_svc.processes.http_server import open_api
from hms_svc.settings import Settings, load_settings
from tests.support.described import Described
from tests.support.redis_server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS

POTHOLE = {"user_id": "usr-1", "lat": 38.8977, "lon": -77.0365, "photo": "s3://a/b.jpg"}
NOTICE = {"case_id": "case-1"}


class ApiService:
    """A listening HTTP server, a client for it, and the broker behind it as a worker uses it."""

    def __init__(self, api: ApiContext, url: str, backend: Backend) -> None:
        self.api = api
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.backend = backend
        self.described = described(api)
        self.client = httpx.AsyncClient(
            base_url=url,
            timeout=PATIENCE_SECONDS,
            event_hooks={"response": [self.described.check]},
        )
        self._plates = itertools.count(1)

    async def post(self, job: object = None, **headers: str) -> httpx.Response:
        """Post a job, by default a small valid one."""
        body = {"type": "crew.notify", "data": NOTICE} if job is None else job
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/jobs", json=body, headers=named)

    async def token(self, *scopes: Scope, name: str = "portal", **more: Any) -> dict[str, str]:
        """Make a token, and return the header that carries it."""
        made = self.api.operations("tester").tokens.create(name, scopes, **more)
        _, bearer = await made
        return {"authorization": f"Bearer {bearer.text}"}

    async def claim(self, type: str = "crew.notify", limit: int = 10) -> list[ClaimedJob]:
        """Claim jobs as a worker does."""
        served = (ServedType(type, 3),)
        return await self.backend.broker.claim(ClaimRequest("worker-1", served, limit, 30_000))

    async def report(self, job: ClaimedJob, *messages: str, log: bool = False) -> None:
        """Report progress, or log lines."""
        await self.backend.broker.record_progress(
            [ProgressReport(job.token, job.claimed_at, None, text, log) for text in messages]
        )

    async def settle(self, job: ClaimedJob, state: State = State.COMPLETED, **more: Any) -> None:
        """Settle a claimed job."""
        done = Disposition(state=state, trigger=Trigger.FINISHED, result=b'{"ok":true}', **more)
        settlement = Settlement(
            token=job.token,
            type=job.job.type,
            disposition=done,
            worker="worker-1",
            attempt=job.attempt,
            started_at=job.claimed_at,
            ended_at=job.claimed_at + 1,
        )
        assert await self.backend.broker.settle([settlement]) == []

    async def send(self, raw: bytes) -> bytes:
        """Send raw bytes on a new connection, and return the answer until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            await writer.drain()
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await reader.read()
        finally:
            writer.close()


_DOCUMENTS: dict[frozenset[str], Described] = {}


def described(api: ApiContext) -> Described:
    """Return the checker that validates each answer of the HTTP server against the OpenAPI document."""
    types = frozenset(each.type for each in api.registry)
    if types not in _DOCUMENTS:
        _DOCUMENTS[types] = Described(describe(routed(), api.registry, BODIES))
    return _DOCUMENTS[types]


ServiceMaker: TypeAlias = Callable[..., Awaitable[ApiService]]


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let HTTP servers read tokens and queues at each request, instead of caching them for seconds."""
    monkeypatch.setattr(authentication, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(admission, "CHECK_EVERY_SECONDS", -1.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    chosen = {"data_dir": str(tmp_path), "actor": "tester", "http": "127.0.0.1:0"}
    return load_settings(chosen, environ={"HMS_SVC_CONFIG": ""}).settings


@asynccontextmanager
async def opened(settings: Settings, *, web: bool = False) -> AsyncIterator[ApiService]:
    listening = listen(settings.http)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    stop, ready = asyncio.Event(), asyncio.Event()
    async with open_api(settings) as api, bootstrap.backend(settings) as backend:
        app = make_app(api, hosts=names_of(settings), web=web)
        serving = asyncio.create_task(serve(app, api, listening, stop, ready.set))
        await ready.wait()
        service = ApiService(api, url, backend)
        try:
            yield service
        finally:
            await service.client.aclose()
            stop.set()
            await serving


@pytest.fixture
async def make_service(settings: Settings) -> AsyncIterator[ServiceMaker]:
    """Return a function that starts HTTP servers with the test's own settings."""
    services: list[Any] = []

    async def make(*, web: bool = False, **changed: Any) -> ApiService:
        context = opened(replace(settings, **changed), web=web)
        service = await context.__aenter__()
        services.append(context)
        return service

    yield make
    for context in reversed(services):
        await context.__aexit__(None, None, None)


@pytest.fixture
async def service(make_service: ServiceMaker) -> ApiService:
    """An HTTP server over the embedded broker."""
    return await make_service()


@pytest.fixture(params=["sqlite", "redis"])
async def any_service(request: pytest.FixtureRequest, make_service: ServiceMaker) -> ApiService:
    """An HTTP server over each broker."""
    if request.param == "sqlite":
        return await make_service()
    server: RedisServer = request.getfixturevalue("redis_server")
    return await make_service(broker_url=server.url())


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> set[object]:
    """The open connections of HTTP servers, including WebSockets."""
    found: set[object] = set()
    made, lost = BoundedProtocol.connection_made, WriteTimeout.connection_lost

    def opens(self: BoundedProtocol, transport: asyncio.Transport) -> None:
        found.add(transport)
        made(self, transport)

    def closes(self: WriteTimeout, exc: Exception | None) -> None:
        found.discard(self.transport)
        lost(self, exc)

    monkeypatch.setattr(BoundedProtocol, "connection_made", opens)
    monkeypatch.setattr(WriteTimeout, "connection_lost", closes)
    return found
