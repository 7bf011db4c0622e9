"""Proves I1 to I7 of a finished run from its journal, its broker and its database, knowing nothing else.

`python -m tests.chaos.checker JOURNAL BROKER_URL DATABASE_URL` does the same by hand.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from hms_svc.domain.lifecycle import TERMINAL, TRANSITIONS, State
from tests.chaos.views import BrokerView, DatabaseView, broker_view, database_view

OPENS_CASE: Final = frozenset(
    {
        "pothole.report",
        "chaos.case",
        "chaos.wait_case",
        "chaos.case_wait",
        "chaos.slow_case",
        "chaos.long_case",
    }
)
DEFAULT_CAP, MOST_GIVE_BACKS, MOST_CRASHES = 20, 10, 5
METRES_PER_DEGREE: Final = 111_195
_ENDS: Final = frozenset(f"job.{state.value}" for state in TERMINAL)
_CASES: Final = ("id", "job_id", "key", "kind", "lat", "lon", "status")


class Report(msgspec.Struct):
    """What was found: `faults` is empty where every invariant holds; the rest are figures."""

    faults: list[str]
    acknowledged: int = 0
    states: dict[str, int] = {}
    cases: int = 0
    rescues: int = 0
    give_backs: int = 0
    raw_duplicate_events: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()


class _Run:
    """All that journal, broker and database hold of one run, read once."""

    def __init__(self, journal: Path, broker: BrokerView, database: DatabaseView) -> None:
        self.acknowledged = read_journal(journal)
        self.jobs = broker.jobs()
        self.sample = broker.sample()
        self.events = broker.events()
        rows = database.rows(f"SELECT {', '.join(_CASES)} FROM cases")
        self.cases: list[dict[str, Any]] = [dict(zip(_CASES, row, strict=True)) for row in rows]
        self.audit = database.rows(
            "SELECT subject, at, detail FROM audit WHERE action = 'case.opened'"
        )
        self.unpublished = database.rows(
            "SELECT type, subject FROM outbox WHERE published_at IS NULL"
        )
        self.opened_counter = database.rows(
            "SELECT coalesce(sum(n), 0) FROM (SELECT n FROM analytics_deltas WHERE metric = 'cases.opened'"
            " UNION ALL SELECT n FROM analytics_totals WHERE metric = 'cases.opened') AS counted"
        )
        self.kept_badly = [*broker.faults(), *database.faults()]
        self.cases_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for case in self.cases:
            self.cases_of[case["job_id"]].append(case)


def check(journal: Path, broker: BrokerView, database: DatabaseView) -> Report:
    """Check everything; return all faults at once."""
    run = _Run(journal, broker, database)
    report = Report([])
    for part in (
        _i1_no_loss,
        _i2_one_effect,
        _i3_one_event,
        _i4_terminal,
        _i5_bounded,
        _i7_conserved,
    ):
        report.faults += part(run)
    report.faults += [f"kept: {fault}" for fault in run.kept_badly]
    report.acknowledged = len(run.acknowledged)
    report.states = dict(Counter(job.state.value for job in run.jobs))
    report.cases = len(run.cases)
    causes = Counter(step["cause"] for job in run.jobs for step in job.steps)
    report.rescues, report.give_backs = causes["rescued"], causes["released"]
    opened = [event.event_id for event in run.events if event.type == "case.opened"]
    report.raw_duplicate_events = len(opened) - len(set(opened))
    report.stuck = sum(job.state not in TERMINAL for job in run.jobs)
    report.lost = _lost(run)
    report.doubled = _doubled(run)
    return report


def _lost(run: _Run) -> int:
    """Count the acknowledged jobs that are gone, and the completed ones without their case."""
    gone = set(run.acknowledged) - {job.id for job in run.jobs}
    opens = [job.id for job in run.jobs if job.state is State.COMPLETED and job.type in OPENS_CASE]
    return len(gone) + sum(job_id not in run.cases_of for job_id in opens)


def _doubled(run: _Run) -> int:
    """Count what stands once more than it should: cases under one key or at one place, and their events."""
    keys = {(case["job_id"], case["key"]) for case in run.cases}
    told = {(event.job_id, event.event_id) for event in run.events if event.type == "case.opened"}
    events = Counter(job_id for job_id, _ in told)
    beyond = [number - len(run.cases_of.get(job_id, ())) for job_id, number in events.items()]
    return len(run.cases) - len(keys) + len(_neighbours(run)) + sum(max(0, n) for n in beyond)


def read_journal(path: Path) -> list[str]:
    """Return the ids that were acknowledged, in their order."""
    return path.read_text(encoding="ascii").split() if path.exists() else []


def _i1_no_loss(run: _Run) -> list[str]:
    known = {job.id: job for job in run.jobs}
    faults = [
        f"I1: {id} was acknowledged and is gone" for id in run.acknowledged if id not in known
    ]
    twice = [id for id, number in Counter(run.acknowledged).items() if number > 1]
    faults += [f"I1: {id} was acknowledged twice" for id in twice]
    for job in run.jobs:
        if job.state not in TERMINAL:
            faults.append(f"I1/I6: {job.id} ended nowhere: it is {job.state.value}")
    return faults


def _i2_one_effect(run: _Run) -> list[str]:
    faults = []
    for job in run.jobs:
        cases, state = run.cases_of.get(job.id, []), job.state
        if len({case["key"] for case in cases}) != len(cases):
            faults.append(f"I2: {job.id} has several cases under one key")
        if state is State.COMPLETED and job.type in OPENS_CASE and len(cases) != 1:
            faults.append(f"I2: {job.id} completed with {len(cases)} cases")
        if state in (State.REJECTED, State.CANCELLED) and cases:
            faults.append(f"I2: {job.id} is {state.value} and has {len(cases)} cases")
        if job.case_id and job.case_id not in {case["id"] for case in cases}:
            faults.append(f"I9: {job.id} names case {job.case_id}, which is not there")
    strangers = set(run.cases_of) - {job.id for job in run.jobs}
    faults += [f"I2: a case of {id}, which is no job" for id in strangers]
    return faults + _neighbours(run)


def _neighbours(run: _Run, radius_m: float = 25.0) -> list[str]:
    grid: dict[tuple[str, int, int], list[dict[str, Any]]] = defaultdict(list)
    faults = []
    for case in run.cases:
        if case["status"] != "open" or case["lat"] is None:
            continue
        row, column = int(case["lat"] * 1000), int(case["lon"] * 1000)
        for near in [
            other
            for r in (row - 1, row, row + 1)
            for c in (column - 1, column, column + 1)
            for other in grid[case["kind"], r, c]
        ]:
            north = (near["lat"] - case["lat"]) * METRES_PER_DEGREE
            east = (
                (near["lon"] - case["lon"])
                * METRES_PER_DEGREE
                * math.cos(math.radians(near["lat"]))
            )
            if math.hypot(north, east) < radius_m - 1:
                faults.append(f"I2: open cases {near['id']} and {case['id']} stand at one place")
        grid[case["kind"], row, column].append(case)
    return faults


def _i3_one_event(run: _Run) -> list[str]:
    ids: dict[str, set[str]] = defaultdict(set)
    for event in run.events:
        if event.type == "case.opened":
            ids[event.job_id].add(event.event_id)
    faults = []
    for job_id, cases in run.cases_of.items():
        if len(ids.get(job_id, ())) != len(cases):
            faults.append(
                f"I3: {job_id}: {len(cases)} cases, {len(ids.get(job_id, ()))} case.opened"
            )
    faults += [f"I3: case.opened of {id}, which has no case" for id in set(ids) - set(run.cases_of)]
    faults += [f"I3: {type} of {subject} was never relayed" for type, subject in run.unpublished]
    return faults + _told_ends(run) + _with_each_case(run)


def _told_ends(run: _Run) -> list[str]:
    told: dict[str, list[str]] = defaultdict(list)
    for event in run.events:
        if event.type in _ENDS:
            told[event.job_id].append(event.type)
    return [
        f"I3: {job.id} is {job.state.value}; the bus says {told[job.id]}"
        for job in run.jobs
        if job.state in TERMINAL and told[job.id] != [f"job.{job.state.value}"]
    ]


def _with_each_case(run: _Run) -> list[str]:
    audited = Counter(subject for subject, _, _ in run.audit)
    faults = [
        f"I2: case {case['id']} has {audited[case['id']]} audit records"
        for case in run.cases
        if audited[case["id"]] != 1
    ]
    counted = run.opened_counter[0][0] if run.opened_counter else 0
    if counted != len(run.cases):
        faults.append(f"I2: analytics counted {counted} cases, there are {len(run.cases)}")
    notices = sum(job.type == "crew.notify" for job in run.jobs)
    reported = sum(case["kind"] == "pothole" for case in run.cases)
    if notices != reported:
        faults.append(f"I2: {reported} pothole cases, {notices} crew.notify jobs")
    return faults


def _i4_terminal(run: _Run) -> list[str]:
    faults = []
    for job in run.jobs:
        state, fences = State.QUEUED, [0]
        for step in job.steps:
            source = State.PROCESSING if "started" in step else State(step.get("source", state))
            fences += [step["fence"]] if "started" in step else []
            if state in TERMINAL and step["cause"] != "operator":
                faults.append(f"I4: {job.id} was {state.value}, then came {step}")
            elif State(step["target"]) not in TRANSITIONS[source]:
                faults.append(f"I4: {job.id}: no job goes from {source} to {step['target']}")
            state = State(step["target"])
        if any(later <= earlier for earlier, later in pairwise(fences)):
            faults.append(f"I4: {job.id} was ended under the fences {fences[1:]}")
        if job.steps and state is not job.state:
            faults.append(f"I4: {job.id} is {job.state}, its history ends {state}")
    return faults + _written_after_loss(run)


def _written_after_loss(run: _Run) -> list[str]:
    lost_at = {
        (job.id, step["fence"]): step["at"]
        for job in run.jobs
        for step in job.steps
        if step["cause"] == "rescued"
    }
    faults = []
    for subject, at, detail in run.audit:
        said = json.loads(detail)
        lost = lost_at.get((said["job_id"], said["fence"]))
        if lost is not None and at > lost:
            faults.append(f"I4: {said['job_id']} wrote {subject} {at - lost} ms after its lease")
    return faults


def _i5_bounded(run: _Run) -> list[str]:
    faults = []
    for job in run.jobs:
        cap = job.max_attempts or DEFAULT_CAP
        if job.attempt > cap or job.give_backs > MOST_GIVE_BACKS or job.crashes > MOST_CRASHES:
            faults.append(f"I5: {job.id} is beyond its bounds: {job}")
        if job.state in (State.DEAD, State.REJECTED) and not job.reason:
            faults.append(f"I5: {job.id} is {job.state.value} for no reason")
        claims = sum("started" in step for step in job.steps)
        if claims != job.claims:
            faults.append(f"I5: {job.id} was claimed {job.claims} times, {claims} are on record")
    return faults


def _i7_conserved(run: _Run) -> list[str]:
    faults = run.sample.faults()
    ended = Counter((job.type, step["target"]) for job in run.jobs for step in job.steps)
    for (type, state), number in ended.items():
        counted = run.sample.counters.get((type, state), 0)
        if state in TERMINAL and counted != number:
            faults.append(f"I7: {number} {type} ended {state}, counted {counted}")
    return faults


if __name__ == "__main__":
    found = check(Path(sys.argv[1]), broker_view(sys.argv[2]), database_view(sys.argv[3]))
    print(found)
    sys.exit(bool(found.faults))
