"""A simulated fleet: what worker processes, Redis servers and PostgreSQL do together, from what one job costs.

python -m benchmarks.sizing [--worker-us 30] [--redis-us 25] [--postgres-us 0] [--jobs-per-second N]
    [--jobs-a-day N] [--reports 0.25]

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


class Sizes(NamedTuple):
    """Bytes of one job, with a payload of about 80 bytes; `records` is how many jobs of the broker it becomes."""

    waiting: float
    completed: float
    sqlite_completed: float
    case: float
    sqlite_case: float
    records: float = 1.0

    def mixed(self, other: Sizes, share: float) -> Sizes:
        """Return the mean of a mix in which this share of the jobs is the other kind."""
        pairs = zip(self, other, strict=True)
        return Sizes(*(mine + share * (its - mine) for mine, its in pairs))


NOOP = Sizes(490, 865, 590, 0, 0)
REPORT = Sizes(550, 2_990, 1_980, 3_180, 1_440, records=2.0)
"""A report and its notice, with the case that it opens."""
COMPLETED_DAYS = 7
COMPLETED_MAX = 100_000
REWRITE = 1.5
"""What a Redis needs in proportion to its data while it rewrites its append-only file."""
HOUR_SHARE = 1 / 24


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


class Space(NamedTuple):
    """Bytes for so many jobs a day: `redis_completed` and `redis_hour` are memory, the others disk.

    `redis_hour` is for an hour of jobs that wait, on top of the completed ones.
    """

    redis_completed: float
    redis_hour: float
    postgres_day: float
    sqlite_year: float


def space(jobs_a_day: float, sizes: Sizes, servers: int = 1) -> Space:
    """Return what the jobs of a day need; each Redis server keeps completed jobs up to its own limit."""
    in_time = COMPLETED_DAYS * jobs_a_day
    kept = min(in_time, servers * COMPLETED_MAX / sizes.records)
    kept_in_file = min(in_time, COMPLETED_MAX / sizes.records)
    return Space(
        redis_completed=kept * sizes.completed * REWRITE,
        redis_hour=jobs_a_day * HOUR_SHARE * sizes.waiting * REWRITE,
        postgres_day=jobs_a_day * sizes.case,
        sqlite_year=kept_in_file * sizes.sqlite_completed + 365 * jobs_a_day * sizes.sqlite_case,
    )


def shown(size: float) -> str:
    """Return bytes with two significant digits or more: `64 MB`, `1.2 GB`."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{size:.1f} {unit}" if size < 9.95 and unit != "bytes" else f"{size:.0f} {unit}"


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
    parser.add_argument("--jobs-a-day", type=float, default=0.0, help="jobs to plan space for")
    parser.add_argument("--reports", type=float, default=0.0, help="the share of them with a case")
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
    if given.jobs_a_day:
        found = space(given.jobs_a_day, NOOP.mixed(REPORT, given.reports))
        print(f"\n{given.jobs_a_day:,.0f} jobs a day:")
        for name, size in found._asdict().items():
            print(f"  {name} {shown(size)}")


if __name__ == "__main__":
    main()
