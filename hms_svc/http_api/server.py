"""Serves the application on a socket that is already bound, until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from hms_svc.http_api.context import ApiContext
from hms_svc.http_api.listen_socket import LOCAL_NAMES, split_address
from hms_svc.http_api.protocol import BoundedProtocol
from hms_svc.http_api.slow_clients import FollowerProtocol
from hms_svc.settings import Settings

KEEP_ALIVE_SECONDS: Final = 30
GOODBYE_SECONDS: Final = 5
MOST_CONNECTIONS: Final = 4_000
MOST_SOCKET_BYTES: Final = 64 * 1024
PING_SECONDS: Final = 20.0
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2, where uvicorn's default is too old; TLS 1.3 has its own."""


class _Server(uvicorn.Server):
    """Leaves the signals to hms-svc, and reports when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept."""
        await super().startup(sockets)
        self._ready()


async def serve(
    app: ASGIApp,
    api: ApiContext,
    listening: socket.socket,
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    """Answer until `stop`; then let requests under way end, and notify streams that the HTTP server closes."""
    settings = api.settings
    _log_own_errors("uvicorn", "websockets")
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws=FollowerProtocol,
        ws_max_size=MOST_SOCKET_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
        ssl_certfile=settings.http_tls_certificate,
        ssl_keyfile=settings.http_tls_key,
        ssl_ciphers=CIPHERS,
    )
    server = _Server(config, ready)

    async def end() -> None:
        await stop.wait()
        api.close()
        server.should_exit = True

    ending = asyncio.create_task(end(), name="http-end")
    try:
        await server.serve([listening])
    finally:
        ending.cancel()


def _log_own_errors(*libraries: str) -> None:
    """Log the libraries' own faults, but not those that any client can cause."""
    for name in libraries:
        logger = logging.getLogger(name)
        logger.handlers = [*logging.getLogger("hms_svc").handlers]
        logger.propagate = False
        logger.setLevel(logging.ERROR)


def names_of(settings: Settings) -> list[str]:
    """Return the hosts that the HTTP server answers to."""
    host, _ = split_address(settings.http)
    bracketed = f"[{host}]" if ":" in host else host
    return [*LOCAL_NAMES, bracketed, *settings.http_hosts]
