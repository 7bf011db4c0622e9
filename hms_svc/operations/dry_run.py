"""A dry run of a job: its payload, its validators and governance, with nothing written."""

from __future__ import annotations

import asyncio
import difflib
import json
from enum import StrEnum
from typing import Final

import msgspec

from hms_svc.domain.errors import ActionDenied, ActionHeld, Outage, Refused, ValidationFailed
from hms_svc.domain.job import ClaimedJob, Job, LeaseToken
from hms_svc.domain.plain_text import plain
from hms_svc.domain.strict_json import JsonValue
from hms_svc.operations.dry_run_stores import ForeseenReports, NoBroker, RefusedEffects
from hms_svc.ports.clock import Clock
from hms_svc.ports.database import Database
from hms_svc.ports.policy import Policy
from hms_svc.sdk.captured_output import captured_output
from hms_svc.sdk.dao import Dao
from hms_svc.sdk.governance_gate import Gate
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.own_thread import on_own_thread
from hms_svc.sdk.payload import PayloadFault
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob, enter_job
from hms_svc.sdk.storable_text import writable
from hms_svc.sdk.validation import Step, Steps, ValidatorFault

LIMIT_SECONDS: Final = 10.0
MOST_LINES: Final = 5000


class CheckVerdict(StrEnum):
    """The result of one check of a dry run. HOLDS: a human would have to approve."""

    PASSES = "passes"
    REFUSES = "refuses"
    BREAKS = "breaks"
    HOLDS = "holds"
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True):
    """One check: `payload`, a validator's name, or `governance: ACTION`; and its output.

    `message` and `printed` come from the validators, and are not yet sanitised for a terminal.
    """

    name: str
    verdict: CheckVerdict
    message: str = ""
    printed: str = ""

    @property
    def stops(self) -> bool:
        """Whether the job would end here, rejected or failed."""
        return self.verdict in (CheckVerdict.REFUSES, CheckVerdict.BREAKS)


class DryRun:
    """Runs dry runs of jobs, one after the other, each within `limit_seconds` for all of its checks."""

    def __init__(
        self,
        *,
        registry: Registry,
        policy: Policy,
        database: Database,
        clock: Clock,
        radius_m: float,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        self._registry = registry
        self._policy = policy
        self._database = database
        self._clock = clock
        self._radius_m = radius_m
        self._limit_seconds = limit_seconds
        self._stage = asyncio.Lock()

    def rule_text(self, rule: str) -> str:
        """Return the text of a rule of the policy; empty if it is not available."""
        return self._policy.rule_text(rule)

    async def dry_run(self, job: Job) -> tuple[Check, ...]:
        """Return what would become of a job before its handler runs; as in a real run, the first rejection ends it.

        Lookups read what the worker would read. What a handler itself asks of
        governance is not part of the dry run. An outage makes a check SKIPPED.
        """
        declared = self._registry.get(job.type)
        if declared is None:
            message = f"this program has no handler of type {job.type}"
            return (Check("payload", CheckVerdict.SKIPPED, message),)
        async with self._stage:
            with captured_output(pass_on=False):
                running = self._running(job)
                # A task of its own, so that the caller is not left inside this job.
                return await asyncio.create_task(self._run(running, declared), name="rehearsal")

    def _running(self, job: Job) -> RunningJob:
        now, limit_ms = self._clock.now_ms(), int(self._limit_seconds * 1000)
        expires_ms = self._clock.lease_ms() + limit_ms
        claimed = ClaimedJob(
            job=job,
            token=LeaseToken(job.id, 0),
            attempt=1,
            claims=1,
            max_attempts=job.max_attempts or 1,
            give_backs=0,
            claimed_at=now,
            lease_until=expires_ms,
        )
        return RunningJob(
            claimed,
            dao=Dao(
                cases=self._database.cases,
                reports=ForeseenReports(self._database.reports),
                effects=RefusedEffects(self._database.effects),
                clock=self._clock,
                radius_m=self._radius_m,
                actor="rehearsal",
            ),
            gov=Gate(self._policy),
            broker=NoBroker(),
            deadline_ms=now + limit_ms,
            expires_ms=expires_ms,
            sink=lambda job, share, message, log: None,
            loop=asyncio.get_running_loop(),
        )

    async def _run(self, job: RunningJob, declared: JobType) -> tuple[Check, ...]:
        enter_job(job)
        deadline = asyncio.get_running_loop().time() + self._limit_seconds
        checks: list[Check] = []
        ended = ""
        for step in Steps(declared):
            if ended:
                message = f"not run: {ended} ends the job"
                checks.append(Check(step.name, CheckVerdict.SKIPPED, message))
                continue
            check = await self._check(step, job, deadline)
            checks.append(check)
            if check.stops or check.verdict is CheckVerdict.HOLDS:
                ended = step.name
        job.revoked = True
        return tuple(checks)

    async def _check(self, step: Step, job: RunningJob, deadline: float) -> Check:
        printed = len(job.log_text())
        verdict, message = CheckVerdict.PASSES, ""
        try:
            async with asyncio.timeout_at(deadline):
                await step.run(job, on_own_thread)
        except TimeoutError:
            message = f"no answer within {self._limit_seconds:g} seconds"
            verdict = CheckVerdict.BREAKS
        except SystemExit as error:
            verdict, message = CheckVerdict.BREAKS, f"called sys.exit({error.code!r:.80})"
        except Exception as error:  # noqa: BLE001 - models and validators are the user's code
            verdict, message = _judge(error)
        return Check(step.name, verdict, message, job.log_text()[printed:])


def _judge(error: Exception) -> tuple[CheckVerdict, str]:
    if isinstance(error, ValidatorFault) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    match error:
        case ActionDenied():
            return CheckVerdict.REFUSES, f"{writable(error)} (rule {error.rule})"
        case ActionHeld():
            return CheckVerdict.HOLDS, f"{writable(error)} (rule {error.rule})"
        case ValidationFailed() | PayloadFault():
            return CheckVerdict.REFUSES, writable(error)
        case Outage() | Refused():
            return CheckVerdict.SKIPPED, writable(error)
        case _:
            return CheckVerdict.BREAKS, f"{type(error).__name__}: {writable(error)}"


def diff_lines(old: JsonValue, new: JsonValue) -> tuple[str, ...]:
    """Return the unified diff of two payloads, keys sorted, each line fit for a terminal; empty if they are equal."""
    before, after = _lines(old), _lines(new)
    if len(before) + len(after) > MOST_LINES:
        return () if before == after else (f"more than {MOST_LINES:,} lines: not compared",)
    found = difflib.unified_diff(before, after, "original", "edited", lineterm="")
    return tuple(plain(line) for line in found)


def _lines(value: JsonValue) -> list[str]:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True).split("\n")
