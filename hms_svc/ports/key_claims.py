"""What claimed jobs need before they run: unique keys, and places in limits with a key."""

from __future__ import annotations

import msgspec

from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.job_limits import KeyedLimit
from hms_svc.domain.uniqueness import PLAIN, UniqueRule


class KeyClaim(msgspec.Struct, frozen=True):
    """A claimed job that was accepted without a unique key, and the key that its type derives, with its rule."""

    claimed: ClaimedJob
    unique_key: str
    rule: UniqueRule = PLAIN


class PlaceClaim(msgspec.Struct, frozen=True):
    """A claimed job, and the limits with a key that its type declares, for the values of its keys.

    `lease_ms` is for how long it was claimed.
    """

    claimed: ClaimedJob
    limits: tuple[KeyedLimit, ...]
    lease_ms: int
