"""Beside the fastest peers that run a job at least once over Redis, and a loop by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from benchmarks import contest, report_peers
from benchmarks.contenders import BULLMQ, Contender, hand_loop, hms_svc, peers
from benchmarks.contest import Drain, Waited
from benchmarks.engines import Plan
from benchmarks.figures import Figure, ratio
from benchmarks.rounds import failures, interleaved

Result = TypeVar("Result")
ONE_BY_ONE = 3_000
PACED = 200
ONE, IDLE = "one by one", "idle"
AIMS: dict[tuple[str, bool], str] = {
    ("free", False): "10; 6",
    ("pinned", False): "6; 4",
    ("free", True): "4; 2.5",
}
"""Goal and floor against a peer, by the way of draining, and whether it is BullMQ."""
WAYS: dict[str, contest.Cores] = {"free": (None,), "pinned": (1,), "two, pinned": (0, 1)}


class Measured(NamedTuple):
    """The rounds of every contender, by the name of the measure and of the contender."""

    drains: dict[tuple[str, str], list[Drain]]
    singles: dict[str, list[float]]
    waits: dict[str, list[Waited]]

    def rate(self, way: str, name: str) -> Figure:
        """Return jobs a second in one way of draining."""
        return self._of_drains("rate", way, f"drain, {way}: {name}", "jobs/s", name)

    def enqueued(self, name: str) -> Figure:
        """Return jobs a second in bulk submission."""
        return self._of_drains("enqueued", "free", f"bulk enqueue: {name}", "jobs/s", name)

    def cost(self, what: str, words: str, unit: str, name: str) -> Figure:
        """Return what a thousand jobs cost in a free drain."""
        return self._of_drains(what, "free", f"{words}: {name}", unit, name)

    def _of_drains(self, what: str, way: str, words: str, unit: str, name: str) -> Figure:
        values = tuple(getattr(each, what) for each in self.drains[way, name])
        return Figure(words, unit, values, failure=failures.get(f"{way} | {name}", ""))


def run(plan: Plan) -> list[Figure]:
    """Measure the contenders in turn, and divide round by round."""
    loop = hand_loop()
    ours, others = [hms_svc(20), hms_svc(100)], peers()
    contenders = [*ours, *([loop] if loop else []), *others]
    measured = _measure(plan, contenders)
    figures: list[Figure] = []
    for contender in contenders:
        figures += _figures(measured, contender.name)
    if loop:
        figures += _against_loop(measured, [each.name for each in ours], loop.name)
    if others:
        figures += _against_peers(measured, ours[1].name, [each.name for each in others])
    return [*figures, *report_peers.run(plan)]


def _measure(plan: Plan, contenders: list[Contender]) -> Measured:
    drains = interleaved(
        {
            f"{way} | {each.name}": partial(
                contest.drain, each, plan.engines, plan.of(each.jobs, 1000), cores
            )
            for way, cores in WAYS.items()
            for each in contenders
        },
        plan.rounds,
        may_fail={f"{way} | {each.name}" for way in WAYS for each in contenders if each.is_peer},
    )
    singles = _each(plan, contenders, ONE, contest.one_by_one, ONE_BY_ONE)
    waits = _each(plan, contenders, IDLE, contest.idle, PACED)
    named = {}
    for key, rounds in drains.items():
        way, _, name = key.partition(" | ")
        named[way, name] = rounds
    return Measured(named, singles, waits)


def _each(
    plan: Plan,
    contenders: list[Contender],
    what: str,
    measure: Callable[..., Result],
    jobs: int,
) -> dict[str, list[Result]]:
    found = interleaved(
        {
            f"{what} | {each.name}": partial(measure, each, plan.engines, jobs)
            for each in contenders
        },
        plan.rounds,
        may_fail={f"{what} | {each.name}" for each in contenders if each.is_peer},
    )
    return {key.partition(" | ")[2]: rounds for key, rounds in found.items()}


def _figures(measured: Measured, name: str) -> list[Figure]:
    waits, late = measured.waits[name], failures.get(f"{IDLE} | {name}", "")
    singles, failed = tuple(measured.singles[name]), failures.get(f"{ONE} | {name}", "")
    return [
        *(measured.rate(way, name) for way in WAYS),
        measured.enqueued(name),
        Figure(f"enqueue one by one: {name}", "jobs/s", singles, failure=failed),
        Figure(f"idle, p50: {name}", "ms", tuple(each.p50 for each in waits), failure=late),
        Figure(f"idle, p99: {name}", "ms", tuple(each.p99 for each in waits), failure=late),
        measured.cost("worker_ms", "worker CPU of 1,000 jobs", "ms", name),
        measured.cost("redis_ms", "Redis CPU of 1,000 jobs", "ms", name),
        measured.cost("commands", "Redis commands of 1,000 jobs", "", name),
        measured.cost("reads", "Redis reads of 1,000 jobs", "", name),
    ]


def _against_loop(measured: Measured, ours: list[str], loop: str) -> list[Figure]:
    return [
        ratio(
            f"drain, {way}: {name} / hand loop",
            measured.rate(way, name),
            measured.rate(way, loop),
            "0.5; 0.33",
        )
        for way in ("free", "pinned")
        if measured.rate(way, loop).values
        for name in ours
    ]


def _against_peers(measured: Measured, ours: str, others: list[str]) -> list[Figure]:
    found = []
    for way in WAYS:
        for name in others:
            other, aim = measured.rate(way, name), AIMS.get((way, name == BULLMQ), "")
            if other.values:
                words = f"drain, {way}: {ours} / {name}"
                found.append(ratio(words, measured.rate(way, ours), other, aim))
    for name in others:
        if (other := measured.enqueued(name)).values:
            words = f"bulk enqueue: {ours} / {name}"
            found.append(ratio(words, measured.enqueued(ours), other, "6; 3"))
    two, one = measured.rate("two, pinned", ours), measured.rate("pinned", ours)
    return [*found, ratio(f"two processes against one: {ours}", two, one, "1.8; 1.5")]
