"""A long backlog: memory of a queued job, the operator's calls, and whether costs stay flat."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.contenders import hms_svc
from benchmarks.engines import Engines, Plan
from benchmarks.figures import Figure, ratio
from benchmarks.payloads import noop
from benchmarks.rounds import interleaved
from benchmarks.stage import Stage
from hms_svc.domain.filter import parse_filter
from hms_svc.ports.control import Act

SHORT, LONG = 12_000, 1_000_000
DEAD, RETRIED = 100_000, 10_000
PROBED = 10_000
CALLS = 20
READY_SECONDS = 900.0


class Depth(NamedTuple):
    """Costs over one backlog: bytes of Redis a job beyond its payload, jobs a second of further
    submission and of a drain's beginning, milliseconds of `status` and of a page."""

    bytes_a_job: float
    enqueued: float
    drained: float
    status_ms: float
    page_ms: float


class Dead(NamedTuple):
    """With many dead and many queued: milliseconds of reads, seconds of a bulk retry by filter."""

    status_ms: float
    dead_page_ms: float
    filtered_page_ms: float
    queued_page_ms: float
    retry_seconds: float


def depth(waiting: int, engines: Engines) -> Depth:
    """Measure over so many queued jobs."""
    with Stage(waiting, engines) as stage:
        before = stage.redis.memory_bytes() if engines.redis else 0
        stage.produce("bulk", "bench.async", waiting)
        after = stage.redis.memory_bytes() if engines.redis else 0
        payload = sum(len(msgspec.json.encode(noop(n))) for n in range(0, waiting, 100)) * 100
        enqueued = 5_000 / stage.produce("bulk", "bench.plain", 5_000)
        status, page = _status_ms(stage), _page_ms(stage, "state:queued")
        return Depth(
            (after - before - payload) / waiting, enqueued, _beginning(stage), status, page
        )


def _beginning(stage: Stage) -> float:
    """Return jobs a second for ten thousand jobs after the first thousand of a drain."""
    worker = hms_svc(100).start(stage)
    called = partial(stage.probe.called, PROBED + 2000)
    worker.wait_until("first thousand", lambda: called() >= 1000)
    began, first = time.perf_counter(), called()
    worker.wait_until("next ten thousand", lambda: called() >= PROBED + 1000)
    return (called() - first) / (time.perf_counter() - began)


def many_dead(waiting: int, dead: int, engines: Engines) -> Dead:
    """Measure an operator's day: many dead, a backlog, and some of the dead to be retried."""
    with Stage(1, engines) as stage:
        stage.produce("bulk", "bench.dead", dead)
        worker = stage.serve("--types", "bench.dead", "--concurrency", "100")
        look = stage.observer
        worker.wait_until(
            "last dead", lambda: look.counts("bench.dead").dead == dead, READY_SECONDS
        )
        worker.stop()
        stage.produce("bulk", "bench.async", waiting)
        wanted = min(RETRIED, dead // 10)
        some = f"state:dead type:bench.dead data.n<{wanted}"
        return Dead(
            _status_ms(stage),
            _page_ms(stage, "state:dead"),
            _page_ms(stage, "state:dead type:bench.dead data.n<100"),
            _page_ms(stage, "state:queued"),
            _retry_seconds(stage, some, wanted),
        )


def _retry_seconds(stage: Stage, where: str, wanted: int) -> float:
    began = time.perf_counter()
    actions, matching = stage.observer.operations.actions, parse_filter(where)
    plan = stage.observer.ask(lambda _: actions.plan_where(Act.RETRY, matching))
    report = stage.observer.ask(lambda _: actions.carry_out(plan))
    assert report.done == wanted, f"{report.done} retried of {wanted}"
    return time.perf_counter() - began


def _status_ms(stage: Stage) -> float:
    return _median_ms(lambda: stage.observer.ask(lambda operations: operations.reads.status()))


def _page_ms(stage: Stage, where: str) -> float:
    matching = parse_filter(where)
    return _median_ms(
        lambda: stage.observer.ask(
            lambda operations: operations.reads.jobs(matching, limit=100, cursor=None)
        )
    )


def _median_ms(call: Callable[[], object]) -> float:
    call()
    taken = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


def run(plan: Plan) -> list[Figure]:
    """Measure over a short and a long backlog, and among the dead."""
    long, dead = plan.of(LONG, 2 * SHORT), plan.of(DEAD, 1000)
    found = interleaved(
        {
            "short": partial(depth, SHORT, plan.engines),
            "long": partial(depth, long, plan.engines),
        },
        plan.rounds,
    )
    among = interleaved({"dead": partial(many_dead, long, dead, plan.engines)}, plan.rounds)["dead"]
    memory = tuple(each.bytes_a_job for each in found["long"])
    figures = []
    if plan.engines.redis:
        words = f"Redis memory of a queued job beyond its payload, {long:,} queued"
        figures.append(Figure(words, "bytes", memory, "250; 450"))
    for name, unit in (("enqueued", "jobs/s"), ("drained", "jobs/s")):
        short_one, long_one = (
            Figure(f"{name}, {size:,} queued", unit, tuple(getattr(e, name) for e in found[key]))
            for key, size in (("short", SHORT), ("long", long))
        )
        words = f"{name}: {SHORT:,} against {long:,} queued"
        figures += [short_one, long_one, ratio(words, short_one, long_one, "1; 1.2")]
    for name in ("status_ms", "page_ms"):
        words = f"{name.removesuffix('_ms')}, {long:,} queued"
        values = tuple(getattr(each, name) for each in found["long"])
        figures.append(Figure(words, "ms", values, "50; 200"))
    for name in ("status_ms", "dead_page_ms", "filtered_page_ms", "queued_page_ms"):
        words = f"{name.removesuffix('_ms').replace('_', ' ')}, {dead:,} dead"
        values = tuple(getattr(each, name) for each in among)
        figures.append(Figure(words, "ms", values, "50; 200"))
    words = f"retry of a tenth of {dead:,} dead, by filter"
    return [*figures, Figure(words, "s", tuple(each.retry_seconds for each in among))]
