"""The question to a policy, and the interface of policies."""

from __future__ import annotations

from typing import Protocol

import msgspec

from hms_svc.domain.strict_json import JsonValue
from hms_svc.domain.verdict import Verdict


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """May this action be done with this payload, on behalf of this job (or of no job)?"""

    action: str
    payload: JsonValue
    job_id: str = ""
    job_type: str = ""
    attempt: int = 0


class Policy(Protocol):
    """Decides whether an action is allowed. Raises PolicyUnavailable if it cannot decide."""

    async def decide(self, question: Question) -> Verdict:
        """Return the verdict. An error in a rule is raised; it is not a verdict."""
        ...

    def rule_text(self, rule: str) -> str:
        """Return the source text of a rule; empty if it is not available."""
        ...

    async def close(self) -> None:
        """Release the policy's resources."""
        ...
