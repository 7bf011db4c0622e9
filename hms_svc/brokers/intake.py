"""Strict parsing of foreign bytes: a job, or the reason why they are not one."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.job import MAX_ITEM_BYTES, Job, read_job
from hms_svc.domain.strict_json import read_strict

KEPT_OF_OVERSIZED: Final = 64 * 1024
READ_MOST: Final = 2 * MAX_ITEM_BYTES
"""The size of the largest item that is read and hashed as a whole."""


class KeptBytes(msgspec.Struct, frozen=True, gc=False):
    """What is stored of refused bytes: all of them, or the beginning if they are too many.

    `digest` is the hexadecimal SHA-256 of all bytes, or `sha256_of_beginning:` with that of `raw`
    if there were too many bytes to fetch, or to hash at the server. Of a record that is none of this
    version the server keeps the bytes with `sha1:`.
    """

    raw: bytes
    length: int
    digest: str


Item = bytes | KeptBytes
"""A pushed item, or what is stored of one that was too large to fetch."""


def read_item(type: str, item: Item, now: int) -> Job:
    """Return the job in one item pushed to a queue; raise BadInput if it is not one."""
    length = item.length if isinstance(item, KeptBytes) else len(item)
    if isinstance(item, KeptBytes) or length > MAX_ITEM_BYTES:
        raise BadInput(f"the item has {length} bytes; the limit is {MAX_ITEM_BYTES}")
    job = read_job(read_strict(item), now_ms=now, default_type=type)
    if job.type != type:
        raise BadInput(f"the job has the type {job.type}, but is in the queue of {type}")
    return job


def keep_bytes(item: Item) -> KeptBytes:
    """Return what is stored of bytes that are not a job."""
    if isinstance(item, KeptBytes):
        return item
    kept = item if len(item) <= MAX_ITEM_BYTES else item[:KEPT_OF_OVERSIZED]
    return KeptBytes(kept, len(item), hashlib.sha256(item).hexdigest())
