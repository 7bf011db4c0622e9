"""The scripts of the register of workers, their leases, their waits, and requests to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from hms_svc.brokers.redis.calls import ScriptCall, binary, nothing
from hms_svc.domain.job import LeaseToken
from hms_svc.ports.broker import CancelRequest


class Requests(NamedTuple):
    """Whether suspects wait, an operator's request to the worker (JSON), and cancel requests for its jobs."""

    suspects_wait: bool
    request: bytes
    cancel: tuple[CancelRequest, ...]


class LeasedJob(NamedTuple):
    """A running job: its id, its worker, and the milliseconds until its lease ends."""

    job_id: str
    worker: bytes
    left_ms: int


def extend(tokens: Sequence[LeaseToken], lease_ms: int) -> ScriptCall[list[int]]:
    """Renew leases from now; return the indexes of those that no longer own their job."""
    return ScriptCall(
        "extend",
        lambda reply: [place - 1 for place in reply],
        lease_ms=lease_ms,
        tokens=[(token.job_id, token.fence) for token in tokens],
    )


def register(
    worker: str, *, registration: bytes, now: int, types: Sequence[tuple[str, int, str, str]]
) -> ScriptCall[None]:
    """Add or renew a worker; `types` are those that it serves, each with priority, limits and those with a key."""
    return ScriptCall(
        "register", nothing, worker=worker, registration=binary(registration), now=now, types=types
    )


def unregister(worker: str) -> ScriptCall[None]:
    """Remove a worker from the register."""
    return ScriptCall("unregister", nothing, worker=worker)


def sleep(worker: str, *, most_ms: int, suspects: bool, types: Sequence[str]) -> ScriptCall[int]:
    """Register a worker as waiting; return for how many milliseconds, or 0 if there is work."""
    return ScriptCall("sleep", int, worker=worker, most_ms=most_ms, lane=int(suspects), types=types)


def end_sleep(worker: str) -> ScriptCall[None]:
    """End the wait of a worker that was not notified."""
    return ScriptCall("end_sleep", nothing, worker=worker)


def signals(worker: str, types: Sequence[str]) -> ScriptCall[Requests]:
    """Return the requests to a worker."""
    return ScriptCall("signals", _requests, worker=worker, types=types)


def _requests(reply: list[Any]) -> Requests:
    suspects, request, *cancel = reply
    pairs = zip(cancel[::2], cancel[1::2], strict=True)
    return Requests(
        bool(suspects),
        request,
        tuple(CancelRequest(job_id.decode(), *msgspec.json.decode(why)) for job_id, why in pairs),
    )


def ask_worker(worker: str, request: bytes) -> ScriptCall[bool]:
    """Record a request to a worker; return False if the worker is not in the register."""
    return ScriptCall("ask_worker", bool, worker=worker, request=binary(request))


def running(limit: int) -> ScriptCall[list[LeasedJob]]:
    """Return the running jobs."""
    return ScriptCall("running", _running, limit=limit)


def _running(reply: list[bytes]) -> list[LeasedJob]:
    rows = zip(reply[::3], reply[1::3], reply[2::3], strict=True)
    return [LeasedJob(job_id.decode(), worker, int(left)) for job_id, worker, left in rows]
