"""Identifiers: job ids (UUIDv7), and the name-based ids that make repetition harmless."""

from __future__ import annotations

import hashlib
import os
import re
import time
from functools import lru_cache
from typing import Final

from hms_svc.domain.errors import MalformedJob
from hms_svc.domain.plain_text import brief
from hms_svc.domain.strict_json import encode

JOB_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
JOB_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
RESERVED_PREFIX: Final = "hms:"
"""Prefix of the ids of jobs that hms-svc creates itself: no producer can submit one."""
TRANSACTION_PREFIX: Final = "transaction-"
_NAMESPACE: Final = bytes.fromhex("6f2d6c1e5a515c3b9a573f1f0f0d8710")
_VARIANT: Final = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
_KEPT: Final = 64
"""A handler, the checks of its effect and the case itself ask for the same ids, one after the other."""


def new_job_id() -> str:
    """Return a new UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then randomness."""
    return _write_uuid(f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}", version=7)


def check_job_id(value: object, field: str = "id") -> str:
    """Return `value` if it is a legal job id, else raise MalformedJob naming the field."""
    if isinstance(value, str) and JOB_ID.fullmatch(value):
        return value
    raise MalformedJob(f"{field} {brief(value)} does not match [A-Za-z0-9._:-]{{1,128}}", field)


def check_job_type(value: object) -> str:
    """Return `value` if it is a legal job type, else raise MalformedJob."""
    if isinstance(value, str) and JOB_TYPE.fullmatch(value):
        return value
    raise MalformedJob(f"type {brief(value)} does not match [a-z0-9][a-z0-9._-]{{0,127}}", "type")


def name_based_id(*parts: str) -> str:
    """Return the UUIDv5 of the parts: the same parts give the same id, on every machine."""
    name = _NAMESPACE + "\n".join(parts).encode()
    return _write_uuid(hashlib.sha1(name, usedforsecurity=False).hexdigest(), version=5)


def derived_id(kind: str, *parts: str) -> str:
    """Return the id of a job that hms-svc creates: `hms:`, its kind, and the UUIDv5 of the parts."""
    return f"{RESERVED_PREFIX}{kind}:{name_based_id(kind, encode(parts).decode())}"


@lru_cache(_KEPT)
def follow_up_id(job_id: str, type: str) -> str:
    """Return the id of the one follow-up of a type that a job has: it is erased with that job."""
    return derived_id("follow-up", job_id, type)


def is_reserved_id(job_id: str, running: str = "") -> bool:
    """Return whether an id is reserved for jobs that hms-svc creates.

    While the job `running` runs, which is such a job, ids that continue its own
    are allowed: that id, one of `.`, `_`, `:` and `-`, and a further part.
    """
    if not job_id.startswith(RESERVED_PREFIX):
        return False
    if not running.startswith(RESERVED_PREFIX):
        return True
    return re.fullmatch(re.escape(running) + "[._:-].+", job_id) is None


def _write_uuid(digits: str, version: int) -> str:
    """Return a UUID of the first 32 hexadecimal digits, with its version and variant (RFC 9562)."""
    variant = _VARIANT[digits[16]]
    return (
        f"{digits[:8]}-{digits[8:12]}-{version}{digits[13:16]}"
        f"-{variant}{digits[17:20]}-{digits[20:32]}"
    )


def event_id(job_id: str, name: str, key: str) -> str:
    """Return the stable id of an event: `key` is the fence, the handler's key or an ordinal."""
    return name_based_id(job_id, name, key)


@lru_cache(_KEPT)
def case_id(job_id: str, key: str) -> str:
    """Return the stable id of the case that the effect (job id, key) creates."""
    return "case-" + name_based_id(job_id, "case", key)


def transaction_id(job_id: str, key: str) -> str:
    """Return the stable id of the job's transaction (job id, key)."""
    return TRANSACTION_PREFIX + name_based_id(job_id, "transaction", key)
