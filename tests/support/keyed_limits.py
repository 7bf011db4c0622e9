"""Limits with a key, asked of a broker as a worker does."""

from __future__ import annotations

from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.job_limits import KeyedLimit, Limit
from hms_svc.ports.key_claims import PlaceClaim
from tests.support.broker_engines import LEASE_MS, TYPE, BrokerHarness

TWO = Limit(2)


def keyed(key: str, limit: Limit = TWO) -> KeyedLimit:
    """The limit for one key; its digest is the key in hexadecimal."""
    return KeyedLimit(key.encode().hex(), f"{limit} for {key!r}", limit)


async def let_in(
    harness: BrokerHarness, *jobs: ClaimedJob, key: str = "ward 7", limit: Limit = TWO
) -> list[bool]:
    """Ask for places; the limit of the jobs' type must be declared, see `declare`."""
    claims = [PlaceClaim(job, (keyed(key, limit),), LEASE_MS) for job in jobs]
    return await harness.broker.take_places(claims)


def declare(harness: BrokerHarness, limit: Limit, of_type: tuple[Limit, ...] = ()) -> None:
    """Register a worker whose type declares a limit with a key, and others for the whole type."""
    harness.register(limits=((TYPE, of_type),) if of_type else (), keyed_limits=((TYPE, (limit,)),))


async def claimed_ids(harness: BrokerHarness, limit: int = 10, *types: str) -> list[str]:
    """Claim jobs, and return their ids."""
    return [job.job.id for job in await harness.claim(limit, *types)]
