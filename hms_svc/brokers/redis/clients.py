"""Connections to Redis, for three uses that must not block each other."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any, Final, Protocol

from redis import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio import Connection as AsyncConnection
from redis.asyncio import ConnectionPool as AsyncConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import SSLConnection as AsyncSSLConnection
from redis.asyncio import UnixDomainSocketConnection as AsyncSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from hms_svc.brokers.redis.address import RedisAddress, read_redis_address
from hms_svc.brokers.redis.exchange import Argument, Exchange, sentinels_of
from hms_svc.domain.backend_url import BackendUrl

CONNECT_SECONDS: Final = 2.0
REPLY_SECONDS: Final = 5.0
BLOCK_SECONDS: Final = 10.0
"""How long one blocking call waits on the server."""
_HEALTH_CHECK_SECONDS: Final = 15
_BASE: Final[dict[str, Any]] = {
    "socket_connect_timeout": CONNECT_SECONDS,
    "health_check_interval": _HEALTH_CHECK_SECONDS,
    "protocol": 2,
    "client_name": "hms-svc",
}


# Older versions of redis-py announce themselves by these two, newer ones warn of them.
_ANNOUNCED: Final = (
    ("driver_info",)
    if "driver_info" in signature(AbstractConnection).parameters
    else ("lib_name", "lib_version")
)
_ANONYMOUS: Final[dict[str, Any]] = {
    **dict.fromkeys(("username", "password", "client_name", *_ANNOUNCED)),
    "db": 0,
}
"""Options under which a connection begins without a command of its own."""
_SENTINEL: Final[dict[str, Any]] = {
    "socket_timeout": CONNECT_SECONDS,
    "socket_connect_timeout": CONNECT_SECONDS,
}


class Commands(Protocol):
    """Runs commands, each only once."""

    async def ask(self, *command: Argument) -> Any:
        """Run one command."""
        ...

    async def ask_all(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run commands in one round trip."""
        ...

    async def reconnect(self) -> None:
        """Drop this connection, so that the next command looks up the server again."""
        ...

    async def close(self) -> None:
        """Release all connections."""
        ...


class Clients(Protocol):
    """Makes clients that never repeat a command by themselves."""

    def for_commands(self) -> Commands:
        """Return the client for commands that answer immediately."""
        ...

    def for_probe(self) -> Commands:
        """Return a client whose first command is the first thing that it sends: no login, no name."""
        ...

    def for_waiting(self) -> AsyncRedis:
        """Return a pool for calls that block on the server for up to BLOCK_SECONDS."""
        ...

    def for_lease_keeper(self) -> Redis:
        """Return the blocking client of a heartbeat thread."""
        ...


class ServerClients:
    """Clients of the Redis at an address, directly or through Sentinel.

    Raise BadSetting if a file that the address names cannot be used.
    """

    def __init__(self, url: BackendUrl) -> None:
        self._address = read_redis_address(url)

    def for_commands(self) -> Exchange:
        """See Clients."""
        return Exchange(self._client(socket_timeout=REPLY_SECONDS))

    def for_probe(self) -> Exchange:
        """See Clients."""
        return Exchange(self._client(socket_timeout=REPLY_SECONDS, **_ANONYMOUS))

    def for_waiting(self) -> AsyncRedis:
        """See Clients."""
        return self._client(socket_timeout=BLOCK_SECONDS + REPLY_SECONDS)

    def for_lease_keeper(self) -> Redis:
        """See Clients."""
        address = self._address
        options = _options(address, REPLY_SECONDS) | {"retry": Retry(NoBackoff(), 0)}
        if address.sentinels:
            sentinel_options = _SENTINEL | address.tls | {"retry": options["retry"]}
            sentinel = Sentinel(  # type: ignore[no-untyped-call]  # untyped in redis-py
                address.sentinels, sentinel_kwargs=sentinel_options, **options
            )
            master: Redis = sentinel.master_for(address.service)  # type: ignore[no-untyped-call]  # untyped in redis-py
            return master
        if address.socket:
            return Redis.from_pool(ConnectionPool(UnixDomainSocketConnection, **options))
        kind = SSLConnection if options.pop("ssl", False) else Connection
        return Redis.from_pool(ConnectionPool(kind, **options))

    def _client(self, *, socket_timeout: float, **more: Any) -> AsyncRedis:
        address = self._address
        options = _options(address, socket_timeout) | {"retry": AsyncRetry(NoBackoff(), 0)} | more
        if address.sentinels:
            sentinel_options = _SENTINEL | address.tls | {"retry": options["retry"]}
            sentinel = AsyncSentinel(  # type: ignore[no-untyped-call]  # untyped in redis-py
                address.sentinels, sentinel_kwargs=sentinel_options, **options
            )
            master: AsyncRedis = sentinel.master_for(address.service)
            return master
        if address.socket:
            return AsyncRedis.from_pool(AsyncConnectionPool(AsyncSocketConnection, **options))
        kind = AsyncSSLConnection if options.pop("ssl", False) else AsyncConnection
        return AsyncRedis.from_pool(AsyncConnectionPool(kind, **options))


def _options(address: RedisAddress, socket_timeout: float) -> dict[str, Any]:
    options = _BASE | address.login | address.tls
    options |= {"db": address.database, "socket_timeout": socket_timeout}
    if address.socket:
        return options | {"path": address.socket}
    if not address.sentinels:
        options |= {"host": address.host, "port": address.port}
    return options | {"socket_keepalive": True}


def close_blocking_client(client: Redis) -> None:
    """Close a blocking client and its connections to Sentinels."""
    client.close()
    for sentinel in sentinels_of(client):
        sentinel.close()
