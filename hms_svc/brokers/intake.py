"""Foreign bytes, read strictly, once: a job, or the reason why they are none."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.job import MAX_ITEM_BYTES, Job, read_job
from hms_svc.domain.strict_json import read_strict

KEPT_OF_OVERSIZED: Final = 64 * 1024


class KeptBytes(msgspec.Struct, frozen=True, gc=False):
    """What is kept of refused bytes: all of them, or the beginning of too many."""

    raw: bytes
    length: int
    digest: str


def read_item(type: str, item: bytes, now: int) -> Job:
    """Read one pushed item of a queue. Raises BadInput."""
    if len(item) > MAX_ITEM_BYTES:
        raise BadInput(f"{len(item)} bytes; the limit is {MAX_ITEM_BYTES}")
    job = read_job(read_strict(item), now_ms=now, default_type=type)
    if job.type != type:
        raise BadInput(f"type {job.type} in the queue of {type}")
    return job


def keep_bytes(item: bytes) -> KeptBytes:
    """Give what is kept of bytes that are no job."""
    kept = item if len(item) <= MAX_ITEM_BYTES else item[:KEPT_OF_OVERSIZED]
    return KeptBytes(kept, len(item), hashlib.sha256(item).hexdigest())
