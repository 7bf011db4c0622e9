from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from hms_svc import aio, dao, jobs
from hms_svc.domain.errors import (
    DatabaseUnavailable,
    PolicyUnavailable,
    RuleFailed,
    ValidationFailed,
)
from hms_svc.domain.job import Job, make_job
from hms_svc.domain.strict_json import JsonValue
from hms_svc.domain.verdict import Effect, Verdict
from hms_svc.operations.dry_run import Check, DryRun, diff_lines
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.policy import Question
from hms_svc.ports.stores import NearCase, PlaceQuery, ReportCount
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import current_job, find_job
from hms_svc.services import builtin_registry
from tests.support.operator_service import open_operator

REPORT = {"user_id": "usr-1", "lat": 38.9, "lon": -77.0, "photo": "s3://a.jpg"}


class Rules:
    """A policy that gives one answer."""

    def __init__(self, answer: Verdict | Exception) -> None:
        self.answer = answer
        self.asked: list[Question] = []

    async def decide(self, question: Question) -> Verdict:
        self.asked.append(question)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def rule_text(self, rule: str) -> str:
        return ""

    async def close(self) -> None: ...


class Shelf:
    """The database as far as a dry run may touch it: whatever else is asked of it fails."""

    def __init__(self, *, near: NearCase | None = None, reports: int = 0) -> None:
        self.found = near
        self.others = reports
        self.asked: list[ReportCount | PlaceQuery] = []
        self.cases = self.reports = self.effects = self

    async def near(self, queries: Sequence[PlaceQuery]) -> list[NearCase | None]:
        self.asked += queries
        return [self.found for _ in queries]

    async def count_others(self, asked: ReportCount) -> int:
        self.asked.append(asked)
        return self.others


YES = Verdict(Effect.ALLOW, "yes", "")


def dry_runs(
    registry: Registry, *, rules: Rules | None = None, shelf: Any = None, limit: float = 10.0
) -> DryRun:
    return DryRun(
        registry=registry,
        policy=rules or Rules(YES),
        database=cast("Any", shelf or Shelf()),
        clock=SystemClock(),
        radius_m=25.0,
        limit_seconds=limit,
    )


def job_of(data: Any = None, type: str = "test.job") -> Job:
    return make_job(type, REPORT if data is None else data, now_ms=0, id="j1")


def registry_of(*validators: Any, action: str | None = None) -> Registry:
    registry = Registry()
    registry.job("test.job", validators=validators, action=action)(lambda: None)
    return registry


def told(checks: Sequence[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.verdict.value) for check in checks]


async def test_a_sound_report_passes_every_check() -> None:
    rules, shelf = Rules(YES), Shelf()
    job = job_of(type="pothole.report")
    checks = await dry_runs(builtin_registry(), rules=rules, shelf=shelf).dry_run(job)
    assert told(checks) == [
        ("payload", "passes"),
        ("identity", "passes"),
        ("duplicate", "passes"),
        ("governance: create_case", "passes"),
    ]
    assert [(asked.payload, asked.job_id) for asked in rules.asked] == [(REPORT, "j1")]
    reports, place = shelf.asked
    assert isinstance(place, PlaceQuery)
    assert (getattr(reports, "job_id", ""), place.not_of_job) == ("j1", "j1")


@pytest.mark.parametrize(
    ("data", "shelf", "expected", "words"),
    [
        ({**REPORT, "lat": 123}, Shelf(), "payload refuses", "data.lat"),
        ({**REPORT, "user_id": "x"}, Shelf(), "identity refuses", "usr-"),
        (REPORT, Shelf(reports=10), "identity refuses", "report 11 of usr-1"),
        (REPORT, Shelf(near=NearCase("case-9", "j0", 3.0)), "duplicate refuses", "case-9"),
    ],
)
async def test_the_first_no_is_told_and_ends_it_as_at_work(
    data: Any, shelf: Shelf, expected: str, words: str
) -> None:
    job = job_of(data, type="pothole.report")
    checks = await dry_runs(builtin_registry(), shelf=shelf).dry_run(job)
    [stop] = [check for check in checks if check.stops]
    assert f"{stop.name} {stop.verdict}" == expected
    assert words in stop.message
    after = checks[checks.index(stop) + 1 :]
    assert {(check.verdict.value, check.message) for check in after} == {
        ("skipped", f"not run: {stop.name} ends the job")
    }


@pytest.mark.parametrize(
    ("answer", "verdict", "words"),
    [
        (Verdict(Effect.DENY, "r1", "never"), "refuses", "never (rule r1)"),
        (Verdict(Effect.HOLD, "r2", "ask"), "holds", "ask (rule r2)"),
        (RuleFailed("rule r3 broke", rule="r3"), "breaks", "RuleFailed: rule r3 broke"),
        (PolicyUnavailable("no answer"), "skipped", "no answer"),
    ],
)
async def test_governance_is_asked_for_the_declared_action(
    answer: Verdict | Exception, verdict: str, words: str
) -> None:
    registry = registry_of(action="fly")
    checks = await dry_runs(registry, rules=Rules(answer)).dry_run(job_of())
    assert told(checks) == [("governance: fly", verdict)]
    assert checks[0].message == words


def plain_no(payload: Any) -> bool:
    return False


def plain_error(payload: Any) -> None:
    raise KeyError("ward")


def leaves(payload: Any) -> None:
    sys.exit(3)


async def writes(payload: Any) -> None:
    await current_job().dao.insert_case(payload)


async def enqueues(payload: Any) -> None:
    await current_job().broker.enqueue([job_of()])


async def database_away(payload: Any) -> None:
    raise DatabaseUnavailable("away")


async def unnamed_no(payload: Any) -> None:
    raise ValidationFailed("\ud800 no")


def reads_another_job(payload: Any) -> None:
    jobs.get("j0")


async def cancels_another_job(payload: Any) -> None:
    await aio.Handle[Any]("j0", "test.job", "queued").cancel()


@pytest.mark.parametrize(
    ("validator", "verdict", "words"),
    [
        (plain_no, "refuses", "plain_no returned False"),
        (plain_error, "breaks", "KeyError: 'ward'"),
        (leaves, "breaks", "called sys.exit(3)"),
        (writes, "skipped", "a dry run changes nothing, but opening a case would"),
        (enqueues, "skipped", "a dry run changes nothing, but the broker's enqueue would"),
        (reads_another_job, "skipped", "a dry run neither reads nor changes other jobs"),
        (cancels_another_job, "skipped", "a dry run neither reads nor changes other jobs"),
        (database_away, "skipped", "away"),
        (unnamed_no, "refuses", "\\ud800 no"),
    ],
)
async def test_validators_end_as_they_would_at_work_and_write_nothing(
    validator: Any, verdict: str, words: str
) -> None:
    [check] = await dry_runs(registry_of(validator)).dry_run(job_of())
    assert (check.name, check.verdict, check.message) == (validator.__name__, verdict, words)


async def test_plain_validators_run_beside_the_loop_in_their_job_and_what_they_print_is_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[tuple[str, bool]] = []

    def look(payload: Any) -> None:
        seen.append((current_job().id, threading.current_thread() is threading.main_thread()))
        print("looking")

    [check] = await dry_runs(registry_of(look)).dry_run(job_of())
    assert seen == [("j1", False)]
    assert (check.printed, capsys.readouterr().out) == ("looking\n", "")
    assert find_job() is None


async def test_a_plain_validator_reads_by_the_blocking_surface_too() -> None:
    def near(payload: Any) -> bool:
        return not dao.case_exists(payload["lat"], payload["lon"])

    shelf = Shelf(near=NearCase("case-9", "j0", 3.0))
    [check] = await dry_runs(registry_of(near), shelf=shelf).dry_run(job_of())
    assert (check.verdict, check.message) == ("refuses", "near returned False")


async def test_a_validator_that_never_answers_is_left_behind() -> None:
    async def waits(payload: Any) -> None:
        await asyncio.Event().wait()

    [check] = await dry_runs(registry_of(waits), limit=0.01).dry_run(job_of())
    assert (check.verdict, check.message) == ("breaks", "no answer within 0.01 seconds")


async def test_a_plain_validator_that_never_answers_is_left_behind() -> None:
    end = threading.Event()
    [check] = await dry_runs(registry_of(lambda _: end.wait()), limit=0.01).dry_run(job_of())
    end.set()
    assert (check.verdict, check.message) == ("breaks", "no answer within 0.01 seconds")


async def test_a_type_that_nobody_declares_cannot_be_rehearsed() -> None:
    [check] = await dry_runs(Registry()).dry_run(job_of())
    assert (check.name, check.verdict) == ("payload", "skipped")
    assert "test.job" in check.message


async def test_a_rehearsal_leaves_a_real_database_as_it_was(tmp_path: Path) -> None:
    job = job_of(type="pothole.report")
    async with open_operator(tmp_path, builtin_registry(reports_per_hour=2)) as operator:
        now = SystemClock().now_ms()
        await operator.database.reports.count([ReportCount("usr-1", "j0", now, 0)])
        assert operator.operations.dry_runs is not None
        for _ in range(2):
            checks = await operator.operations.dry_runs.dry_run(job)
            assert {check.verdict.value for check in checks} == {"passes"}
        asked = ReportCount("usr-1", "", now, 0)
        assert await operator.database.reports.count_others(asked) == 1
        assert await operator.database.outbox.waiting(10) == []


async def test_without_registry_or_policy_there_is_no_rehearsal(tmp_path: Path) -> None:
    async with open_operator(tmp_path) as operator:
        assert operator.operations.dry_runs is None
        assert operator.serve(registry=Registry(), policy=None).dry_runs is None


def test_a_difference_is_told_in_harmless_lines() -> None:
    old: JsonValue = {"b": 1, "a": "x"}
    new: JsonValue = {"a": "\u202e\x1b[2J", "b": 1}
    assert diff_lines(old, new) == (
        "--- original",
        "+++ edited",
        "@@ -1,4 +1,4 @@",
        " {",
        '-  "a": "x",',
        '+  "a": "<U+202E>\\u001b[2J",',
        '   "b": 1',
        " }",
    )
    assert diff_lines({"a": 1, "b": 2}, {"b": 2, "a": 1}) == ()
    assert diff_lines([0] * 6000, [1] * 6000) == ("more than 5,000 lines: not compared",)
