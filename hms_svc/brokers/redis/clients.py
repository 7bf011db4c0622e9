"""Connections to Redis, for three uses that must not get in each other's way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import unquote

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from hms_svc.brokers.redis.exchange import Argument, Exchange, sentinels_of
from hms_svc.domain.backend_url import BackendKind, BackendUrl

CONNECT_SECONDS: Final = 2.0
REPLY_SECONDS: Final = 5.0
BLOCK_SECONDS: Final = 10.0
"""How long one blocking call waits at the server."""
_HEALTH_CHECK_SECONDS: Final = 15
_BASE: Final[dict[str, Any]] = {
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_keepalive": True,
    "protocol": 2,
    "client_name": "hms-svc",
}


_SENTINEL: Final[dict[str, Any]] = {
    "socket_timeout": CONNECT_SECONDS,
    "socket_connect_timeout": CONNECT_SECONDS,
}


class Commands(Protocol):
    """Runs commands, none of them twice."""

    async def ask(self, *words: Argument) -> Any:
        """Run one command."""
        ...

    async def ask_all(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run commands in one round trip."""
        ...

    async def reconnect(self) -> None:
        """Leave this connection, so that the next command looks for the server again."""
        ...

    async def close(self) -> None:
        """Release every connection."""
        ...


class Clients(Protocol):
    """Makes clients that never repeat a command by themselves."""

    def for_commands(self) -> Commands:
        """Give the way of all commands that answer at once."""
        ...

    def for_waiting(self) -> AsyncRedis:
        """Give a pool for calls that block at the server for up to BLOCK_SECONDS."""
        ...

    def for_heart(self) -> Redis:
        """Give the blocking client of a heartbeat thread."""
        ...


class ServerClients:
    """Clients of the Redis that an address names, directly or through Sentinel."""

    def __init__(self, url: BackendUrl) -> None:
        self._url = url

    def for_commands(self) -> Exchange:
        """See Clients."""
        return Exchange(self._client(socket_timeout=REPLY_SECONDS))

    def for_waiting(self) -> AsyncRedis:
        """See Clients."""
        return self._client(socket_timeout=BLOCK_SECONDS + REPLY_SECONDS)

    def for_heart(self) -> Redis:
        """See Clients."""
        options = _BASE | {
            "socket_timeout": REPLY_SECONDS,
            "health_check_interval": _HEALTH_CHECK_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        }
        if self._url.kind is BackendKind.SENTINEL:
            hosts = [_host(text) for text in self._url.hosts]
            sentinel = Sentinel(  # type: ignore[no-untyped-call]
                hosts, sentinel_kwargs=_SENTINEL, **options, **self._login()
            )
            database = int(self._url.database)
            master: Redis = sentinel.master_for(self._url.service, db=database)  # type: ignore[no-untyped-call]
            return master
        client: Redis = Redis.from_url(self._url.text, **options)
        return client

    def _client(self, *, socket_timeout: float) -> AsyncRedis:
        options = _BASE | {
            "socket_timeout": socket_timeout,
            "health_check_interval": _HEALTH_CHECK_SECONDS,
            "retry": AsyncRetry(NoBackoff(), 0),
        }
        if self._url.kind is BackendKind.SENTINEL:
            hosts = [_host(text) for text in self._url.hosts]
            sentinel = AsyncSentinel(  # type: ignore[no-untyped-call]
                hosts, sentinel_kwargs=_SENTINEL, **options, **self._login()
            )
            master: AsyncRedis = sentinel.master_for(self._url.service, db=int(self._url.database))
            return master
        client: AsyncRedis = AsyncRedis.from_url(self._url.text, **options)
        return client

    def _login(self) -> dict[str, str]:
        login = self._url.text.partition("://")[2].rpartition("@")[0]
        user, _, password = login.partition(":")
        found = {"username": unquote(user), "password": unquote(password)}
        return {name: value for name, value in found.items() if value}


def _host(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def close_blocking_client(client: Redis) -> None:
    """Close a blocking client, and the connections to Sentinels that it was made over."""
    client.close()
    for sentinel in sentinels_of(client):
        sentinel.close()
