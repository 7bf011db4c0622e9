"""The governance gate: an action is allowed, or the job ends here whatever its handler does next."""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine
from typing import Any

from hms_svc.domain.errors import ActionDenied, ActionHeld, MalformedJson, NotAnswered
from hms_svc.domain.strict_json import check_strict, decode, encode_sorted
from hms_svc.domain.verdict import Effect, Permission, Verdict
from hms_svc.ports.meters import UNMETERED, Meter
from hms_svc.ports.policy import Policy, Question
from hms_svc.sdk.attempt import Attempt
from hms_svc.sdk.job_context import find_attempt, require_job


class Gate:
    """Asks the policy, and binds the running job to a refusal.

    With `needs_job` it rejects callers without a job while a worker runs in this process.
    """

    def __init__(
        self, policy: Policy, meter: Meter = UNMETERED, *, needs_job: bool = False
    ) -> None:
        self._policy = policy
        self._meter = meter
        self._needs_job = needs_job

    def vet(self, action: str, payload: Any) -> Coroutine[Any, Any, None]:
        """Return, when awaited, if the action is allowed; else raise ActionDenied or ActionHeld.

        The question counts as unanswered from this call until the action is allowed: a job
        that has one writes nothing and does not complete, even if the call was
        abandoned. A job that has effects is not vetted again for an action and payload that were allowed
        before it wrote them, unless it was denied since. An approval of exactly this
        job, action, rule and payload turns a hold into a permission. Raises MalformedJson
        if the payload is not JSON, NoActiveJob if there is no job and one is required.
        """
        job = find_attempt()
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
            f"governance was asked about {action!r:.80}, and the answer was not awaited: "
            "use await gov.vet(…), and let it finish"
        )
        question = Question(
            action=action,
            payload=decode(raw),
            job_id=job.id,
            job_type=job.type,
            attempt=job.claimed.attempt,
        )
        return self._ask_for(job, question, digest)

    async def _ask_for(self, job: Attempt, question: Question, digest: str) -> None:
        key = (question.action, digest)
        if job.verdict is not None:
            raise job.verdict
        if any(key == (allowed.action, allowed.digest) for allowed in job.recorded):
            job.unanswered.pop(key, None)
            return
        try:
            with job.stage("vet"):
                verdict = await self._policy.decide(question)
        except Exception as error:
            job.unanswered[key] = error
            raise
        requested = Permission(question.action, verdict.rule, digest)
        approved = requested.key in job.claimed.approvals
        refusal = _refusal_of(requested, verdict, approved=approved)
        self._meter.vetted(question.action, verdict.effect if refusal else Effect.ALLOW)
        if refusal is not None:
            _keep_refusal(job, refusal)
            raise refusal
        job.vetted[key] = requested
        job.unanswered.pop(key, None)

    async def _ask_outside(self, action: str, payload: Any) -> None:
        raw = _canonical(action, payload)
        verdict = await self._policy.decide(Question(action=action, payload=decode(raw)))
        requested = Permission(action, verdict.rule, hashlib.sha256(raw).hexdigest())
        self._meter.vetted(action, verdict.effect)
        if refusal := _refusal_of(requested, verdict, approved=False):
            raise refusal


def _keep_refusal(job: Attempt, refusal: ActionDenied | ActionHeld) -> None:
    """Keep a refusal with the job: the first one, except that a deny overrides a hold."""
    if job.verdict is None or isinstance(refusal, ActionDenied):
        job.verdict = refusal


def _canonical(action: str, payload: Any) -> bytes:
    """Return the payload as canonical JSON now: what is vetted, recorded and approved must be the same."""
    if not isinstance(action, str):
        raise MalformedJson(f"action {action!r:.80} is not a string")
    check_strict(action)
    check_strict(payload)
    return encode_sorted(payload)


def _refusal_of(
    requested: Permission, verdict: Verdict, *, approved: bool
) -> ActionDenied | ActionHeld | None:
    named = {"action": requested.action, "rule": requested.rule}
    if verdict.effect is Effect.DENY:
        return ActionDenied(verdict.reason, **named)
    if verdict.effect is Effect.HOLD and not approved:
        return ActionHeld(verdict.reason, digest=requested.digest, **named)
    return None
