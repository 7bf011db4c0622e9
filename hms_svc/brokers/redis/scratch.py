"""An empty logical database of a Redis, for data that exists for a while."""

from __future__ import annotations

from typing import Any, Final

from hms_svc.brokers.redis.clients import ServerClients
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.backend_url import BackendUrl, in_redis_database, read_broker_url
from hms_svc.domain.errors import BadInput, BrokerUnavailable

OWNER_KEY: Final = "hms:scratch"
"""Since when (Unix s) a logical database is used, and by which namespace: written before anything else."""
STALE_SECONDS: Final = 3_600
_HIGHEST: Final = 15
_KEYS_AT_ONCE: Final = 1_000


async def take_database(url: BackendUrl, namespace: str, now: int) -> BackendUrl:
    """Return the address of a logical database that is empty, or left behind by an owner who was killed.

    A worker absorbs what is pushed to `jobs:*` of its whole logical database, in any namespace:
    therefore it must not be one that is in use. Raise BadInput if there is none, BrokerUnavailable
    if the server cannot be reached.
    """
    link = Link(url, namespace, ServerClients(url))
    await link.open()
    await link.close()
    for number in range(_HIGHEST, -1, -1):
        found = read_broker_url(in_redis_database(url, number))
        if number != int(url.database) and await _take(found, namespace, now):
            return found
    raise BadInput(
        f"{link.address} has no empty logical database: each of 0 to {_HIGHEST} holds keys or is not "
        "allowed; name another Redis: hms-svc --broker-url URL …"
    )


async def release_database(url: BackendUrl, namespace: str) -> None:
    """Empty a database that was taken under this name; one that another has taken since is left alone."""
    link = Link(url, namespace, ServerClients(url))
    await link.open()
    try:
        if (await _owner(link))[1] == namespace:
            await _remove(link)
    finally:
        await link.close()


async def cpu_seconds(link: Link) -> float:
    """Return the CPU time of the server's main thread since it started, for all of its clients."""
    info = await link.info()
    names = ["used_cpu_sys_main_thread", "used_cpu_user_main_thread"]
    if not all(name in info for name in names):  # a server of another make
        names = ["used_cpu_sys", "used_cpu_user"]
    return sum(float(info[name]) for name in names)


async def _take(url: BackendUrl, namespace: str, now: int) -> bool:
    link = Link(url, namespace, ServerClients(url))
    try:
        await link.open()
    except BrokerUnavailable:  # there are fewer databases, or this user may not use it
        return False
    try:
        since, _ = await _owner(link)
        if since is not None and since < now - STALE_SECONDS:
            await _remove(link)
        if await link.ask("DBSIZE"):
            return False
        return await link.ask("SET", OWNER_KEY, f"{now} {namespace}", "NX") is not None
    finally:
        await link.close()


async def _owner(link: Link) -> tuple[int | None, str]:
    text = await link.ask("GET", OWNER_KEY)
    if text is None:
        return None, ""
    since, _, name = text.decode().partition(" ")
    return int(since), name


async def _remove(link: Link) -> None:
    """Remove all keys: the database was empty when it was taken. OWNER_KEY is the last."""
    cursor: Any = 0
    while True:
        cursor, keys = await link.ask("SCAN", cursor, "COUNT", _KEYS_AT_ONCE)
        if keys := [key for key in keys if key != OWNER_KEY.encode()]:
            await link.ask("UNLINK", *keys)
        if not int(cursor):
            break
    await link.ask("DEL", OWNER_KEY)
