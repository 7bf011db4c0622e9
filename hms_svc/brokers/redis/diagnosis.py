"""Checks the configuration of a Redis: its durability level (see docs/durability.md) and its problems."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from hms_svc.brokers.redis.eviction import capacity_of
from hms_svc.brokers.redis.link import Link, version_of
from hms_svc.domain.backend_url import BackendUrl
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.ports.inspection import Capacity

Facts = Mapping[str, Any]
SKEW_LIMIT_MS: Final = 2_000
_NEARLY_FULL: Final = 0.9
_LONGEST_ITEM_BYTES: Final = 8 * 1024**2
SAFE_VERSIONS: Final[dict[tuple[int, ...], tuple[int, ...]]] = {
    (6, 2): (6, 2, 20),
    (7, 2): (7, 2, 11),
    (7, 4): (7, 4, 6),
    (8, 0): (8, 0, 4),
    (8, 2): (8, 2, 2),
}
"""First release of each line without CVE-2025-49844, by which a script can run code in the server."""
_LEVELS: Final = {
    "memory": "appendonly is no: if Redis crashes, all jobs since its last snapshot are lost",
    "everysec": "appendfsync is everysec: if its machine crashes, the jobs of about the last second are lost",
    "always": "appendfsync is always: every accepted job is on its disk",
    "os": "appendfsync is no: if its machine crashes, the jobs of about the last half minute are lost",
    "aof": "appendonly is yes; this user may not read how often it syncs (CONFIG GET appendfsync)",
}


class Diagnosis(msgspec.Struct, frozen=True):
    """The durability level in force, and a note for each setting that breaks a guarantee."""

    durability: str
    notes: tuple[str, ...]
    capacity: Capacity | None


async def diagnose(link: Link, url: BackendUrl) -> Diagnosis:
    """Return the diagnosis of the server."""
    facts, clock = await link.info(), await link.ask("TIME")
    skew = abs(int(clock[0]) * 1000 + int(clock[1]) // 1000 - link.clock.now_ms())
    synced, longest = await asyncio.gather(
        _configured(link, "appendfsync"), _configured(link, "proto-max-bulk-len")
    )
    level = _level(facts, synced)
    notes = (
        *_storage(facts),
        *_items(longest),
        *_access(url),
        *_version(facts),
        *_skew(skew),
        *_replicas(facts),
    )
    return Diagnosis(f"{level}: {_LEVELS[level]}", notes, capacity_of(facts))


async def _configured(link: Link, name: str) -> str | None:
    """Return a setting of the server, None if this user may not read it."""
    try:
        answer: dict[str | bytes, str | bytes] = await link.ask("CONFIG GET", name)
    except BrokerUnavailable:
        return None
    found = answer.get(name) or answer.get(name.encode())
    return found.decode() if isinstance(found, bytes) else found


def _level(facts: Facts, appendfsync: str | None) -> str:
    if not facts.get("aof_enabled"):
        return "memory"
    return {"always": "always", "everysec": "everysec", "no": "os"}.get(appendfsync or "", "aof")


def _storage(facts: Facts) -> Iterator[str]:
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield (
            f"maxmemory-policy is {policy}: a full Redis would evict jobs; "
            "set noeviction, so that it refuses new ones instead"
        )
    capacity = capacity_of(facts)
    if capacity is None:
        yield "maxmemory is 0: Redis can use all memory of its machine; set a limit below that"
    elif capacity.share > _NEARLY_FULL:
        yield (
            f"{capacity.used:,} of {capacity.limit:,} bytes are used: "
            f"{'new jobs are refused' if capacity.is_full else 'when it is full, new jobs are refused'}; "
            "workers move completed jobs to the archive in the database, which frees memory unless "
            "waiting or failed jobs use all of it"
        )
    for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"):
        if facts.get(name, "ok") != "ok":
            yield f"{name} is {facts[name]}: Redis cannot write its files; check its disk"
    if facts.get("loading"):
        yield "Redis is still loading its files"


def _items(longest: str | None) -> Iterator[str]:
    if longest is not None and int(longest) > _LONGEST_ITEM_BYTES:
        yield (
            f"proto-max-bulk-len is {int(longest):,}: pushing one item of that size blocks Redis for all clients "
            "(300 MB for about a second); set 8mb, so that it is refused"
        )


def _access(url: BackendUrl) -> Iterator[str]:
    away = [host for host in url.hosts if not _is_loopback(host)]
    if away and not url.password:
        yield f"no authentication on {', '.join(away)}: set a password or an ACL user, and rediss://"
    if ("ssl_cert_reqs", "none") in url.options:
        yield "ssl_cert_reqs is none: anyone on the network can pose as the server; set ssl_ca_certs to its CA"


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0].strip("[]")
    return name in ("localhost", "::1") or name.startswith("127.")


def _version(facts: Facts) -> Iterator[str]:
    if "valkey_version" in facts:
        return
    version = version_of(str(facts.get("redis_version", "")))
    safe = SAFE_VERSIONS.get(version[:2])
    if safe is None and version[:2] < max(SAFE_VERSIONS):
        safe = min(line for line in SAFE_VERSIONS.values() if line > version)
    if safe is not None and version < safe:
        yield (
            f"Redis {_dotted(version)} has a known vulnerability (CVE-2025-49844, scripts), unless your system "
            f"has patched it; the next release without it is {_dotted(safe)}"
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _skew(skew_ms: int) -> Iterator[str]:
    if skew_ms > SKEW_LIMIT_MS:
        yield f"its clock differs from this machine's by {skew_ms / 1000:.1f} s: delays and due times will be off"


def _replicas(facts: Facts) -> Iterator[str]:
    if facts.get("role") == "slave":
        yield "this is a replica: it refuses all writes"
    elif facts.get("connected_slaves") and not facts.get("min_slaves_good_slaves", 0):
        yield (
            "it has replicas and min-replicas-to-write is 0: a failover can lose jobs accepted just before it"
        )
