"""What the routes share: one object, created when the HTTP server starts."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from fastapi import Request

from hms_svc.http_api.authentication import (
    STALE_SECONDS,
    Authentication,
    Principal,
    forbidden,
)
from hms_svc.http_api.problems import Problem
from hms_svc.http_api.service_metrics import ServiceMetrics
from hms_svc.http_api.shared_streams import EventTail, JobTail
from hms_svc.operations.batched_submission import BatchedSubmission
from hms_svc.operations.envelopes import EnvelopeIntake
from hms_svc.operations.reads import Reads
from hms_svc.operations.service import Operations
from hms_svc.operations.tokens import Scope
from hms_svc.ports.tracing import Tracer
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings

MOST_ACTORS: Final = 256


class ApiContext:
    """The services behind the routes. `operations_for` returns the operator service of an actor."""

    def __init__(
        self,
        *,
        settings: Settings,
        registry: Registry,
        reads: Reads,
        submission: BatchedSubmission,
        authentication: Authentication,
        operations_for: Callable[[str], Operations],
        envelopes: EnvelopeIntake,
        metrics: ServiceMetrics,
        tracer: Tracer | None = None,
    ) -> None:
        self.settings = settings
        self.registry = registry
        self.reads = reads
        self.submission = submission
        self.authentication = authentication
        self.events = EventTail(reads)
        self.jobs = JobTail(reads, self.events)
        self.closing = asyncio.Event()
        self.envelopes = envelopes
        self.metrics = metrics
        self.tracer = tracer
        self._operations_for = operations_for
        self._operations: OrderedDict[str, Operations] = OrderedDict()
        self._buckets: dict[str, Bucket] = {}

    def close(self) -> None:
        """End all streams: followers are notified that the HTTP server closes."""
        self.closing.set()
        self.events.wake_up.wake()
        self.jobs.wake()

    def operations(self, actor: str) -> Operations:
        """Return the operator service that records this actor's actions."""
        found = self._operations.get(actor)
        if found is None:
            found = self._operations[actor] = self._operations_for(actor)
            if len(self._operations) > MOST_ACTORS:
                self._operations.popitem(last=False)
        return found

    async def admit(self, authorization: str | None, scope: Scope | None) -> Principal:
        """Return the caller; Problem 401, 403 or 429 if it is not allowed, or not so often."""
        # Readers of metrics keep their access: the metrics report that the database is unavailable.
        believed = math.inf if scope is Scope.METRICS else STALE_SECONDS
        principal = await self.authentication.identify(authorization, believed_seconds=believed)
        if principal.rate:
            self._charge(principal)
        if scope is not None and not principal.may(scope):
            detail = f"this requires the scope {scope}, which {principal.actor} does not have"
            raise forbidden(principal, scope, detail)
        return principal

    def _charge(self, principal: Principal) -> None:
        bucket = self._buckets.get(principal.key)
        if bucket is None or bucket.rate != principal.rate:
            bucket = self._buckets[principal.key] = Bucket(principal.rate)
        if not bucket.take(time.monotonic()):
            raise Problem(
                429,
                "too-many-requests",
                f"the rate of {principal.actor} is {principal.rate} requests per second",
                {"retry-after": "1"},
            )


class Bucket:
    """A token bucket: a burst of one second's requests, and `rate` per second from then on."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._left = float(rate)
        self._at = float("-inf")

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        self._left = min(float(self.rate), self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def context_of(request: Request) -> ApiContext:
    """Return the context of the HTTP server that received a request."""
    api = request.app.state.api
    assert isinstance(api, ApiContext)
    return api
