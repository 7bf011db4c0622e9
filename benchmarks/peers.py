"""Beside others, in the same minutes."""

from __future__ import annotations

from benchmarks import redis_peers, sqlite_peers
from benchmarks.engines import Plan
from benchmarks.figures import Figure


def run(plan: Plan) -> list[Figure]:
    """Measure against the peers of this broker."""
    return redis_peers.run(plan) if plan.engines.redis else sqlite_peers.run(plan)
