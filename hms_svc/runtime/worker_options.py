"""The options of a worker, and the engines it works with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from hms_svc.domain.agencies import Receiver
from hms_svc.domain.job import Lane
from hms_svc.domain.views import WorkerRequest
from hms_svc.ports.broker import Broker
from hms_svc.ports.bus import Bus
from hms_svc.ports.clock import Clock
from hms_svc.ports.control import Control
from hms_svc.ports.database import Database
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.policy import Policy
from hms_svc.ports.tracing import Tracer
from hms_svc.sdk.open_resources import BoundType
from hms_svc.sdk.registry import Registry


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one worker process. With the `lane` SUSPECT it runs suspects, one at a time.

    `inline_suspects` is for handlers that cannot be imported by name: the worker lets its jobs
    end and runs the suspect alone. `receivers` are notified of events, whose source contains
    the `namespace`. `audit_key` signs the heads of the audit chain. A function that still runs
    `hung_seconds` after its job was settled counts as hung. With `quiet` the worker does not
    claim from its start: it is an operator's request to a dead worker that this one replaces.
    Durations are in seconds.
    """

    worker_id: str
    slots: int = 20
    lease_seconds: float = 30.0
    timeout_seconds: float = 300.0
    grace_seconds: float = 25.0
    radius_m: float = 25.0
    unserved_days: float = 7.0
    completed_days: float = 7.0
    failed_days: float = 90.0
    lane: Lane = Lane.NORMAL
    inline_suspects: bool = False
    drain: bool = False
    idle_seconds: float = 0.0
    hung_seconds: float = 10.0
    receivers: tuple[Receiver, ...] = ()
    namespace: str = "default"
    audit_key: str = ""
    quiet: WorkerRequest | None = None


class Engines(msgspec.Struct, frozen=True):
    """The engines of a worker, behind their interfaces; without a `tracer` nothing is traced.

    `bound` has the types with resources or middleware.
    """

    broker: Broker
    inspection: Inspection
    control: Control
    bus: Bus
    database: Database
    policy: Policy
    registry: Registry
    clock: Clock
    tracer: Tracer | None = None
    bound: Mapping[str, BoundType] = MappingProxyType({})
