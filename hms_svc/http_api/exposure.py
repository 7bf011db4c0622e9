"""Whether whoever can reach the HTTP API needs a token: asked before anything starts, and by the HTTP server again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from hms_svc.domain.errors import BadSetting, Outage
from hms_svc.http_api.authentication import Authentication
from hms_svc.http_api.listen_socket import is_loopback
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.stores import Database
from hms_svc.settings import Settings

log: Final = logging.getLogger("hms_svc.http")


def refuse_exposure(
    settings: Settings, listening: socket.socket, make_database: Callable[[], Database]
) -> None:
    """Raise BadSetting where anybody from elsewhere would be let in without a token.

    Opens the database only where the answer hangs on them. While the database is away it is left to the HTTP server,
    which waits for it.
    """
    if settings.jwks_url or (is_loopback(listening) and not settings.http_proxies):
        return
    with contextlib.suppress(Outage):
        asyncio.run(_read_and_check(settings, listening, make_database()))


async def _read_and_check(settings: Settings, listening: socket.socket, stores: Database) -> None:
    await stores.open()
    try:
        authentication = Authentication(stores, SystemClock(), local_actor=settings.actor)
        await check_exposure(settings, listening, authentication.is_open)
    finally:
        await stores.close()


async def check_exposure(
    settings: Settings, listening: socket.socket, is_open: Callable[[], Awaitable[bool]]
) -> None:
    """Raise BadSetting where anybody from elsewhere, through a proxy or not, would be let in.

    `is_open` tells whether nobody needs a token.
    """
    if settings.http_proxies and await is_open():
        named = ", ".join(settings.http_proxies)
        raise BadSetting(
            f"http_proxies {named}: there is no token, and whoever reaches a proxy would be taken "
            "for local; first make one (hms-svc tokens create NAME --scope produce), or set jwks_url"
        )
    if is_loopback(listening):
        return
    if await is_open():
        raise BadSetting(
            f"http {settings.http} is reached from other machines, and there is no token: "
            "make one (hms-svc tokens create NAME --scope produce), set jwks_url, "
            "or listen on 127.0.0.1"
        )


def warn_of_plain_text(settings: Settings, listening: socket.socket) -> None:
    """Return, in the log where tokens come from other machines without TLS."""
    if settings.http_tls_certificate is None and not is_loopback(listening):
        log.warning("%s takes tokens without TLS: put a proxy with TLS before it, or set "
                    "http_tls_certificate", settings.http)  # fmt: skip
