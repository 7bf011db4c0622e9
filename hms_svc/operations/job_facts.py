"""The facts about jobs that an action depends on: their claims, their holds, their cases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from hms_svc.domain.lifecycle import State
from hms_svc.domain.verdict import Permission
from hms_svc.domain.views import JobDetail
from hms_svc.operations.action_table import DECISIONS
from hms_svc.operations.plan import Claim
from hms_svc.ports.control import Act, SeenClaim
from hms_svc.ports.stores import EffectStore, id_in_record

KnownDetails: TypeAlias = Callable[[Sequence[str]], Awaitable[list[JobDetail]]]
_ENDING = DECISIONS | {Act.CANCEL}


async def look_up(
    act: Act, claims: Mapping[str, Claim], known_details: KnownDetails, effects: EffectStore
) -> dict[str, SeenClaim]:
    """Return the facts that an action needs about the jobs with these claims; nothing for other actions.

    A claim that has ended can commit no effect after the lookup.
    """
    if act not in _ENDING:
        return {}
    ended = [(job_id, claim.fence + 1) for job_id, claim in claims.items() if _may_have(claim)]
    found = dict(zip(ended, await effects.recall(ended), strict=True)) if ended else {}
    cases = {job_id: id_in_record(stored) for (job_id, _), stored in found.items()}
    holds = await _holds(list(claims), known_details) if act in DECISIONS else {}
    return {
        job_id: SeenClaim(claim.fence, cases.get(job_id), holds.get(job_id, ""))
        for job_id, claim in claims.items()
    }


def _may_have(claim: Claim) -> bool:
    return claim.ended and claim.fence > 0


async def _holds(job_ids: Sequence[str], known_details: KnownDetails) -> dict[str, str]:
    return {detail.view.id: hold_key(detail) for detail in await known_details(job_ids)}


def hold_key(detail: JobDetail) -> str:
    """Return the `Permission.key` of a job's hold, empty if it is not held."""
    if detail.view.state is not State.HELD or detail.hold is None:
        return ""
    return Permission(*detail.hold).key
