"""Foreign bytes, read strictly, once: a job, or the reason why they are none."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.job import MAX_ITEM_BYTES, Job, read_job
from hms_svc.domain.strict_json import read_strict

KEPT_OF_OVERSIZED: Final = 64 * 1024
READ_MOST: Final = 2 * MAX_ITEM_BYTES
"""Bytes of the largest item that is read as a whole, and hashed."""


class KeptBytes(msgspec.Struct, frozen=True, gc=False):
    """What is kept of refused bytes: all of them, or the beginning of too many.

    `digest` is the SHA-256 of all in hexadecimal, or `sha256_of_beginning:` and that of `raw` where
    the bytes were too many to be fetched, or hashed, at the server.
    """

    raw: bytes
    length: int
    digest: str


Item = bytes | KeptBytes
"""A pushed item, or what is kept of one that was too large to be fetched."""


def read_item(type: str, item: Item, now: int) -> Job:
    """Read one pushed item of a queue. Raises BadInput."""
    length = item.length if isinstance(item, KeptBytes) else len(item)
    if isinstance(item, KeptBytes) or length > MAX_ITEM_BYTES:
        raise BadInput(f"{length} bytes; the limit is {MAX_ITEM_BYTES}")
    job = read_job(read_strict(item), now_ms=now, default_type=type)
    if job.type != type:
        raise BadInput(f"type {job.type} in the queue of {type}")
    return job


def keep_bytes(item: Item) -> KeptBytes:
    """Return what is kept of bytes that are no job."""
    if isinstance(item, KeptBytes):
        return item
    kept = item if len(item) <= MAX_ITEM_BYTES else item[:KEPT_OF_OVERSIZED]
    return KeptBytes(kept, len(item), hashlib.sha256(item).hexdigest())
