"""A simulated fleet: what worker processes, Redis servers and PostgreSQL do together, from what one job costs.

python -m benchmarks.sizing [--worker-us 30] [--redis-us 25] [--postgres-us 0] [--jobs-per-second N]

One machine has too few cores to run a fleet. Each worker process is a core that runs jobs one after the
other; an exchange with its Redis claims what its buffer lacks and settles what has ended, while the
worker goes on with what it holds. A Redis serves one exchange at a time. `docs/sizing.md` has the
constants, which `python -m benchmarks constants` measures, and what follows from them.
"""

from __future__ import annotations

import argparse
import heapq
import math
from typing import NamedTuple

BUFFER = 120
"""Jobs that a worker holds at most: 20 slots and what it claims ahead."""
EXCHANGE_US = 60.0
"""What an exchange costs a Redis beside its jobs."""
ROUND_TRIP_US = 200.0
SECONDS = 2.0
BUSY = 0.7
"""The share of a core that a plan uses: the rest is for peaks, and for the loss of a machine."""


class Costs(NamedTuple):
    """Microseconds of CPU for one job, from its submission to its end."""

    worker_us: float
    redis_us: float
    postgres_us: float = 0.0


class Load(NamedTuple):
    """What a simulated fleet reaches: jobs a second, and how busy its parts are (1.0: one whole core)."""

    jobs_per_second: float
    worker_share: float
    redis_share: float


class Plan(NamedTuple):
    """How much a fleet needs for so many jobs a second; cores of PostgreSQL are those of one server."""

    worker_cores: int
    redis_servers: int
    postgres_cores: int


def simulate(workers: int, servers: int, costs: Costs, seconds: float = SECONDS) -> Load:
    """Run a fleet over a backlog that never ends; worker n uses the server n modulo `servers`."""
    end = seconds * 1e6
    free_at = [0.0] * servers
    redis_busy = [0.0] * servers
    done = [0] * workers
    ready = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(ready)
    half = BUFFER // 2
    while ready:
        now, worker = heapq.heappop(ready)
        if now >= end:
            continue
        server = worker % servers
        begins = max(now + ROUND_TRIP_US / 2, free_at[server])
        takes = EXCHANGE_US + half * costs.redis_us
        free_at[server] = begins + takes
        redis_busy[server] += takes
        answered = free_at[server] + ROUND_TRIP_US / 2
        # The other half of the buffer runs meanwhile.
        runs_dry = now + half * costs.worker_us
        done[worker] += half
        heapq.heappush(ready, (max(answered, runs_dry), worker))
    passed = max(end, *free_at)
    total = sum(done)
    return Load(
        jobs_per_second=total / passed * 1e6,
        worker_share=total * costs.worker_us / passed / workers,
        redis_share=sum(redis_busy) / passed / servers,
    )


def plan(jobs_per_second: float, costs: Costs, busy: float = BUSY) -> Plan:
    """Return what a rate needs, with no core busier than a share of its time."""

    def cores(microseconds: float) -> int:
        return math.ceil(jobs_per_second * microseconds / 1e6 / busy)

    return Plan(
        worker_cores=cores(costs.worker_us),
        redis_servers=cores(costs.redis_us),
        postgres_cores=cores(costs.postgres_us),
    )


def main() -> None:
    """Print what fleets of several sizes reach, and what a rate needs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("--worker-us", type=float, default=30.0, help="CPU of a worker for a job")
    parser.add_argument("--redis-us", type=float, default=25.0, help="CPU of Redis for a job")
    parser.add_argument(
        "--postgres-us", type=float, default=0.0, help="CPU of PostgreSQL for a job"
    )
    parser.add_argument("--jobs-per-second", type=float, default=0.0, help="a rate to plan for")
    given = parser.parse_args()
    costs = Costs(given.worker_us, given.redis_us, given.postgres_us)
    print(
        "| worker processes | Redis servers | jobs/s | worker | Redis |\n| --: | --: | --: | --: | --: |"
    )
    for servers in (1, 2, 4):
        for workers in (1, 2, 4, 8, 16):
            load = simulate(workers, servers, costs)
            print(
                f"| {workers} | {servers} | {load.jobs_per_second:,.0f} | {load.worker_share:.0%} "
                f"| {load.redis_share:.0%} |"
            )
    if given.jobs_per_second:
        needed = plan(given.jobs_per_second, costs)
        print(f"\n{given.jobs_per_second:,.0f} jobs/s: {needed}")


if __name__ == "__main__":
    main()
