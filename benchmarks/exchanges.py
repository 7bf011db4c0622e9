"""What a thousand no-op jobs cost of Redis, busy: round trips, commands, CPU.

Round trips are counted by a proxy between worker and server, as reads from the
worker that completed requests; the rest is the server's own account, without the proxy.
"""

from __future__ import annotations

import sys
from functools import partial

from benchmarks import contest
from benchmarks.contenders import hms_svc
from benchmarks.engines import Engines, Plan
from benchmarks.figures import Figure
from benchmarks.rounds import interleaved
from benchmarks.stage import Stage
from tests.support.proxy import Proxy, Traffic

JOBS = 20_000
CONCURRENCIES = (20, 100)


def count(concurrency: int, jobs: int, engines: Engines) -> Traffic:
    """Count what passes between one worker process and Redis from its first job to its last."""
    with Stage(jobs, engines, migrated=False) as stage:
        stage.produce("bulk", "bench.async", jobs)
        with Proxy(stage.redis.server.port) as proxy:
            stage.use_broker(stage.redis.server.url(port=proxy.port))
            worker = hms_svc(concurrency).start(stage)
            worker.wait_until("first handler", lambda: stage.probe.called() > 0)
            before, already = proxy.traffic, stage.probe.called()
            worker.wait_until("last handler", lambda: stage.probe.called() == jobs)
            found = proxy.traffic.since(before)
            worker.stop()
        stage.probe.check_once()
        return Traffic(*(each * 1000 // (jobs - already) for each in found))


def run(plan: Plan) -> list[Figure]:
    """Count at the default concurrency, and at a hundred."""
    if not plan.engines.redis:
        print("skipped: there are no round trips without Redis", file=sys.stderr)
        return []
    figures = []
    for concurrency in CONCURRENCIES:
        jobs = plan.of(JOBS, 1000)
        found = interleaved(
            {"proxy": partial(count, concurrency, jobs, plan.engines)}, plan.rounds
        )["proxy"]
        drain = partial(contest.drain, hms_svc(concurrency), plan.engines, jobs)
        alone = interleaved({"server": drain}, plan.rounds)["server"]
        of = f"of 1,000 jobs, concurrency {concurrency}"
        trips = tuple(float(each.round_trips) for each in found)
        requests = tuple(float(each.requests) for each in found)
        up = tuple((each.bytes_up + each.bytes_down) / 1024 for each in found)
        figures += [
            Figure(f"round trips {of}", "", trips, "40; 100"),
            Figure(f"requests {of}", "", requests),
            Figure(f"bytes both ways {of}", "KiB", up),
            Figure(f"commands within Redis {of}", "", tuple(each.commands for each in alone)),
            Figure(f"Redis CPU {of}", "ms", tuple(each.redis_ms for each in alone)),
            Figure(f"worker CPU {of}", "ms", tuple(each.worker_ms for each in alone)),
        ]
    return figures
