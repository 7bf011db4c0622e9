"""The governance gate: a handler may pass, or the job ends here whatever the handler does next."""

from __future__ import annotations

import hashlib
from typing import Any

from hms_svc.domain.errors import ActionDenied, ActionHeld, HmsError
from hms_svc.domain.strict_json import encode_sorted
from hms_svc.domain.verdict import Effect
from hms_svc.governance.question import Policy, Question
from hms_svc.handling.context import find_job
from hms_svc.ports.meters import UNMETERED, Meter
from hms_svc.ports.stores import Ledger


def payload_digest(payload: object) -> str:
    """Give the SHA-256 of a payload's canonical JSON: what an approval is bound to."""
    return hashlib.sha256(encode_sorted(payload)).hexdigest()


class Gate:
    """Asks the policy, and makes a no stick to the running job."""

    def __init__(self, policy: Policy, ledger: Ledger, meter: Meter = UNMETERED) -> None:
        self._policy = policy
        self._ledger = ledger
        self._meter = meter

    async def vet(self, action: str, payload: Any) -> None:
        """Return where the action is allowed; raise ActionDenied or ActionHeld where it is not.

        A redelivered job is not asked again what was allowed before it left its
        effects: that yes is on record with them. A question that could not be answered counts as no until
        it is. An approval of exactly this job, action, rule and
        payload turns a hold into a yes. Outside of a job nothing sticks.
        """
        job = find_job()
        if job is None:
            no = await self._ask(Question(action=action, payload=payload))
            if no is not None:
                raise no
            return
        if job.recalled and action in job.vetted:
            return
        if job.verdict is not None:
            raise job.verdict
        question = Question(
            action=action, payload=payload, job_id=job.id, job_type=job.type, attempt=job.attempt
        )
        try:
            with job.stage("vet"):
                no = await self._ask(question)
        except HmsError as error:
            job.unanswered[action] = error
            raise
        job.unanswered.pop(action, None)
        if no is not None:
            job.verdict = no
            raise no
        job.vetted.add(action)

    async def _ask(self, question: Question) -> ActionDenied | ActionHeld | None:
        verdict = await self._policy.decide(question)
        action, rule, decision = question.action, verdict.rule, verdict.effect
        no: ActionDenied | ActionHeld | None = None
        if decision is Effect.DENY:
            no = ActionDenied(verdict.reason, action=action, rule=rule)
        elif decision is Effect.HOLD:
            digest = payload_digest(question.payload)
            if await self._ledger.is_approved(question.job_id, action, rule, digest):
                decision = Effect.ALLOW
            else:
                no = ActionHeld(verdict.reason, action=action, rule=rule, digest=digest)
        self._meter.vetted(action, decision)
        return no
