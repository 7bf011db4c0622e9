"""One contender over Redis: what a drain, a submission and an idle worker show of it."""

from __future__ import annotations

import time
from typing import NamedTuple

from benchmarks.contenders import Contender
from benchmarks.engines import Engines
from benchmarks.figures import share
from benchmarks.running import Running
from benchmarks.stage import Stage

SETTLED_SECONDS = 0.5
Cores = tuple[int | None, ...]


class Drain(NamedTuple):
    """Jobs a second in bulk submission and in drain; and for each thousand jobs, from the first call
    to half a second after the last, CPU milliseconds of the workers and of Redis, commands, reads.
    """

    enqueued: float
    rate: float
    worker_ms: float
    redis_ms: float
    commands: float
    reads: float


class Waited(NamedTuple):
    """Milliseconds from before the submission to the handler: half, and all but one in a hundred."""

    p50: float
    p99: float


def drain(contender: Contender, engines: Engines, jobs: int, cores: Cores = (None,)) -> Drain:
    """Drain once, with one worker process for each of `cores` (a number pins it).

    Raises AssertionError unless every job ran exactly once.
    """
    with Stage(jobs, engines, migrated=False) as stage:
        enqueued = jobs / contender.produce(stage, "noop", "bulk", jobs)
        workers = [contender.start(stage, core) for core in cores]
        probe = stage.probe
        workers[0].wait_until("first handler", lambda: probe.called() > 0)
        began, asked = _cpu_seconds(workers), stage.redis.work()
        workers[0].wait_until(
            "job in every process", lambda: len(probe.first_calls()) >= len(cores), 30.0
        )
        since = probe.first_calls()[-1]
        already = probe.called() if len(cores) > 1 else 1
        workers[0].wait_until("end of the backlog", lambda: probe.called() == jobs, 300.0)
        time.sleep(SETTLED_SECONDS)
        cpu, work = _cpu_seconds(workers) - began, stage.redis.work().since(asked)
        probe.check_once()
        _check_settled(contender, stage, jobs)
        rate = (jobs - already) * 1e9 / max(1, probe.last_call() - since)
        thousand = jobs / 1000
        return Drain(
            enqueued,
            rate,
            cpu * 1000 / thousand,
            work.cpu_seconds * 1000 / thousand,
            work.commands / thousand,
            work.reads / thousand,
        )


def one_by_one(contender: Contender, engines: Engines, jobs: int) -> float:
    """Return jobs a second, each submitted when the one before is accepted."""
    with Stage(jobs, engines, migrated=False) as stage:
        return jobs / contender.produce(stage, "noop", "one", jobs)


def idle(contender: Contender, engines: Engines, jobs: int) -> Waited:
    """Hand jobs to an idle worker, 20 ms apart; the first one has come before the clock starts."""
    with Stage(jobs, engines, migrated=False) as stage:
        worker = contender.start(stage)
        contender.produce(stage, "noop", "bulk", 1)
        worker.wait_until("first handler", lambda: stage.probe.called() == 1)
        time.sleep(2.0)
        contender.produce(stage, "noop", "paced", jobs, "0.02")
        worker.wait_until("last handler", lambda: stage.probe.called() == jobs)
        delays = stage.probe.delays_ms()
        return Waited(share(delays, 0.5), share(delays, 0.99))


def _cpu_seconds(workers: list[Running]) -> float:
    return sum(worker.cpu_seconds() for worker in workers)


def _check_settled(contender: Contender, stage: Stage, jobs: int) -> None:
    if not contender.is_peer:
        completed = stage.observer.completed("bench.async")
        assert completed == jobs, f"{completed} of {jobs} jobs are completed"
