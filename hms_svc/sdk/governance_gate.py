"""The governance gate: a handler may pass, or the job ends here whatever the handler does next."""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine
from typing import Any

from hms_svc.domain.errors import ActionDenied, ActionHeld, MalformedJson, NotAnswered
from hms_svc.domain.strict_json import check_strict, decode, encode_sorted
from hms_svc.domain.verdict import Effect, Permission, Verdict
from hms_svc.ports.meters import UNMETERED, Meter
from hms_svc.ports.policy import Policy, Question
from hms_svc.sdk.running_job import RunningJob, find_job, require_job


class Gate:
    """Asks the policy, and makes a no stick to the running job.

    With `needs_job` it answers nobody else while a worker runs in this process.
    """

    def __init__(
        self, policy: Policy, meter: Meter = UNMETERED, *, needs_job: bool = False
    ) -> None:
        self._policy = policy
        self._meter = meter
        self._needs_job = needs_job

    def vet(self, action: str, payload: Any) -> Coroutine[Any, Any, None]:
        """Return, when awaited, where the action is allowed; else raise ActionDenied or ActionHeld.

        The question counts as unanswered from this call until there is a yes: a job
        that has one writes nothing and does not complete, whatever became of the
        call. A job that has effects is not asked again what was allowed, under the
        same action and payload, before it wrote them, unless it was denied since. An approval of exactly this
        job, action, rule and payload turns a hold into a yes. Raises MalformedJson
        where the payload is not JSON, NoActiveJob outside of a job where one is needed.
        """
        job = find_job()
        if job is None:
            if self._needs_job:
                require_job("gov.vet")
            return self._ask_outside(action, payload)
        try:
            raw = _canonical(action, payload)
        except Exception as error:
            job.unanswered["", f"question {len(job.unanswered)}"] = error
            raise
        digest = hashlib.sha256(raw).hexdigest()
        job.unanswered[action, digest] = NotAnswered(
            f"governance was asked about {action!r:.80}, and its answer was not waited for: "
            "await gov.vet, and let it end"
        )
        question = Question(
            action=action,
            payload=decode(raw),
            job_id=job.id,
            job_type=job.type,
            attempt=job.attempt,
        )
        return self._ask_for(job, question, digest)

    async def _ask_for(self, job: RunningJob, question: Question, digest: str) -> None:
        key = (question.action, digest)
        if job.verdict is not None:
            raise job.verdict
        if any(key == (yes.action, yes.digest) for yes in job.recorded):
            job.unanswered.pop(key, None)
            return
        try:
            with job.stage("vet"):
                verdict = await self._policy.decide(question)
        except Exception as error:
            job.unanswered[key] = error
            raise
        asked = Permission(question.action, verdict.rule, digest)
        approved = asked.key in job.claimed.approvals
        no = _no_of(asked, verdict, approved=approved)
        self._meter.vetted(question.action, verdict.effect if no else Effect.ALLOW)
        if no is not None:
            _make_it_stick(job, no)
            raise no
        job.vetted[key] = asked
        job.unanswered.pop(key, None)

    async def _ask_outside(self, action: str, payload: Any) -> None:
        raw = _canonical(action, payload)
        verdict = await self._policy.decide(Question(action=action, payload=decode(raw)))
        asked = Permission(action, verdict.rule, hashlib.sha256(raw).hexdigest())
        self._meter.vetted(action, verdict.effect)
        if no := _no_of(asked, verdict, approved=False):
            raise no


def _make_it_stick(job: RunningJob, no: ActionDenied | ActionHeld) -> None:
    """Keep a no with the job: the first one, but a deny beats a hold."""
    if job.verdict is None or isinstance(no, ActionDenied):
        job.verdict = no


def _canonical(action: str, payload: Any) -> bytes:
    """Write the payload as it is now: what is asked about, recorded and approved is one thing."""
    if not isinstance(action, str):
        raise MalformedJson(f"action {action!r:.80} is not a string")
    check_strict(action)
    check_strict(payload)
    return encode_sorted(payload)


def _no_of(
    asked: Permission, verdict: Verdict, *, approved: bool
) -> ActionDenied | ActionHeld | None:
    named = {"action": asked.action, "rule": asked.rule}
    if verdict.effect is Effect.DENY:
        return ActionDenied(verdict.reason, **named)
    if verdict.effect is Effect.HOLD and not approved:
        return ActionHeld(verdict.reason, digest=asked.digest, **named)
    return None
