"""Governance decisions about an action: allow, hold or deny, with the rule and the reason."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

import msgspec

from hms_svc.domain.strict_json import encode


class Effect(StrEnum):
    """The three answers of a policy."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"


class Verdict(msgspec.Struct, frozen=True):
    """One policy decision: `rule` is the id of the rule that decided, `reason` its text."""

    effect: Effect
    rule: str
    reason: str


DENIED: Final = "!"
"""Among the approvals of a job: it was denied since then, so no approval recorded with its case counts."""


class Permission(msgspec.Struct, frozen=True, array_like=True):
    """A recorded approval: of this action, under this rule, with a payload of this digest (SHA-256)."""

    action: str
    rule: str
    digest: str

    @property
    def key(self) -> str:
        """Return one string for all three: what an approval of a hold is recorded as."""
        return hashlib.sha256(encode([self.action, self.rule, self.digest])).hexdigest()[:40]
