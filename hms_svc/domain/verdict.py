"""What governance says about an action: allow, hold or deny; who says so, and why."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Effect(StrEnum):
    """The three answers of a policy."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"


class Verdict(msgspec.Struct, frozen=True):
    """One policy decision: `rule` is the id of the rule that decided, `reason` its words."""

    effect: Effect
    rule: str
    reason: str
