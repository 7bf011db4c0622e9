"""Whether the HTTP API would be reachable without a token: checked before start-up, and by the HTTP server again."""

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
from hms_svc.ports.database import Database
from hms_svc.settings import Settings

log: Final = logging.getLogger("hms_svc.http")


def refuse_exposure(
    settings: Settings, listening: socket.socket, make_database: Callable[[], Database]
) -> None:
    """Raise BadSetting if callers from other machines would be admitted without a token.

    Opens the database only if the answer depends on it. While the database is unavailable the check is left to the HTTP server,
    which waits for it.
    """
    if settings.jwks_url or (is_loopback(listening) and not settings.http_proxies):
        return
    with contextlib.suppress(Outage):
        asyncio.run(_read_and_check(settings, listening, make_database()))


async def _read_and_check(settings: Settings, listening: socket.socket, stores: Database) -> None:
    await stores.open()
    try:
        authentication = Authentication(stores.tokens, SystemClock(), local_actor=settings.actor)
        await check_exposure(settings, listening, authentication.is_open)
    finally:
        await stores.close()


async def check_exposure(
    settings: Settings, listening: socket.socket, is_open: Callable[[], Awaitable[bool]]
) -> None:
    """Raise BadSetting if callers from other machines, through a proxy or not, would be admitted.

    `is_open` returns whether no token is required.
    """
    if settings.http_proxies and await is_open():
        named = ", ".join(settings.http_proxies)
        raise BadSetting(
            f"http_proxies is {named}, but there is no token, and everybody who reaches a proxy would count "
            "as local; first create a token (hms-svc tokens create NAME --scope produce), or set jwks_url"
        )
    if is_loopback(listening):
        return
    if await is_open():
        raise BadSetting(
            f"http {settings.http} can be reached from other machines, but there is no token: "
            "create one (hms-svc tokens create NAME --scope produce), set jwks_url, "
            "or listen on 127.0.0.1"
        )


def warn_of_plain_text(settings: Settings, listening: socket.socket) -> None:
    """Log a warning if tokens come from other machines without TLS."""
    if settings.http_tls_certificate is None and not is_loopback(listening):
        log.warning(
            "%s accepts tokens without TLS: put a TLS proxy in front of it, or set "
            "http_tls_certificate",
            settings.http,
        )
