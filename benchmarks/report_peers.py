"""`pothole.report` with its notice, beside the same by hand on the peers, one commit a job."""

from __future__ import annotations

import asyncio
from functools import partial

from benchmarks import pothole
from benchmarks.by_hand_postgres import POSTGRES_SCHEMA
from benchmarks.contenders import Contender, peers
from benchmarks.drain import rate_of
from benchmarks.engines import Engines, Plan
from benchmarks.figures import Figure, ratio
from benchmarks.rounds import failures, interleaved
from benchmarks.servers import ask_database
from benchmarks.stage import DATABASE_VARIABLE, Stage

REPORTS = 4_000
BY_HAND = 1_000
OURS = "hms-svc, concurrency 100"


def run(plan: Plan) -> list[Figure]:
    """Measure reports a second: the notices are done too, everything is committed."""
    reports, by_hand = plan.of(REPORTS, 300), plan.of(BY_HAND, 200)
    contenders = {
        OURS: partial(_ours, plan.engines, reports),
        **{
            each.name: partial(drain, each, plan.engines, by_hand)
            for each in peers()
            if each.has_reports
        },
    }
    found = interleaved(contenders, plan.rounds, may_fail=set(contenders) - {OURS})
    figures = {
        name: Figure(
            f"pothole.report and notice: {name}",
            "reports/s",
            tuple(rounds),
            failure=failures.get(name, ""),
        )
        for name, rounds in found.items()
    }
    others = [each for name, each in figures.items() if name != OURS and each.values]
    best = max(others, key=lambda each: each.median, default=None)
    words = f"reports: hms-svc / {best.name.partition(': ')[2]}" if best else ""
    ratios = [ratio(words, figures[OURS], best, "5; 3")] if best else []
    return [*figures.values(), *ratios]


def drain(contender: Contender, engines: Engines, jobs: int) -> float:
    """Return reports a second of a peer whose handler commits each one by itself."""
    calls = jobs * 2
    with Stage(calls, engines, migrated=False) as stage:
        if engines.postgres:
            asyncio.run(ask_database(stage.environment[DATABASE_VARIABLE], POSTGRES_SCHEMA))
        contender.produce(stage, "report", "bulk", jobs)
        rate = rate_of(stage, contender.start(stage), calls) * jobs / calls
        stage.probe.check_once()
        cases = _count_cases(stage)
        assert cases == jobs, f"{cases} cases of {jobs}"
        return rate


def _ours(engines: Engines, jobs: int) -> float:
    types = (pothole.REPORT, pothole.NOTICE)
    return pothole.drain_reports(jobs, types, 100, engines).rate


def _count_cases(stage: Stage) -> int:
    statement = "SELECT count(*) FROM cases"
    if stage.engines.postgres:
        return asyncio.run(ask_database(stage.environment[DATABASE_VARIABLE], statement))
    return int(stage.query("by_hand.db", statement)[0][0])
