"""What is amiss with a Redis that answers, and what it can lose."""

from __future__ import annotations

from hms_svc.brokers.redis.link import Link
from hms_svc.domain.errors import BrokerUnavailable


async def diagnose(link: Link) -> list[str]:
    """Name the durability level in force, and every setting that breaks a promise."""
    try:
        await link.info("persistence")
    except BrokerUnavailable as error:
        return [str(error)]
    return []
