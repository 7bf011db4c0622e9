"""The kept results of a job's steps, and whether one was kept."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from hms_svc.domain.job import LeaseToken


class StepRecord(msgspec.Struct, frozen=True, gc=False):
    """The result of a step of a running job, or with the name CURSOR its cursor, as JSON."""

    token: LeaseToken
    name: str
    value: bytes


class Kept(IntEnum):
    """Whether a step was kept: no, because the token no longer owns its job, or because it has too many."""

    LOST = 0
    YES = 1
    TOO_MANY = 2
