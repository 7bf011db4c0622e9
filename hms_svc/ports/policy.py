"""What a policy is asked, and the interface of whatever answers."""

from __future__ import annotations

from typing import Protocol

import msgspec

from hms_svc.domain.strict_json import JsonValue
from hms_svc.domain.verdict import Verdict


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """May this action be done with this payload, on behalf of this job (or of none)?"""

    action: str
    payload: JsonValue
    job_id: str = ""
    job_type: str = ""
    attempt: int = 0


class Policy(Protocol):
    """Answers questions. An answer that cannot be had is PolicyUnavailable, never a yes."""

    async def decide(self, question: Question) -> Verdict:
        """Return the verdict. A rule that breaks raises whatever broke it: an error, not an answer."""
        ...

    def rule_text(self, rule: str) -> str:
        """Return what a rule says, in the policy's own words; empty where they are not at hand."""
        ...

    async def close(self) -> None:
        """Release what the policy holds."""
        ...
