"""The operator service as one object that every front end receives."""

from __future__ import annotations

import msgspec

from hms_svc.domain.audit_heads import HeadSigner
from hms_svc.domain.backend_url import BackendKind
from hms_svc.operations.actions import Actions
from hms_svc.operations.audit_chain import AuditChain
from hms_svc.operations.dry_run import DryRun
from hms_svc.operations.forms import Forms
from hms_svc.operations.journal import Journal
from hms_svc.operations.reads import Reads
from hms_svc.operations.schedules import ScheduleService
from hms_svc.operations.tokens import Tokens
from hms_svc.operations.type_detail import TypeDetails
from hms_svc.ports.broker import Broker
from hms_svc.ports.bus import Bus
from hms_svc.ports.clock import Clock, SystemClock
from hms_svc.ports.control import Control
from hms_svc.ports.database import Database, DatabaseHealth
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.policy import Policy
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings


class Operations(msgspec.Struct, frozen=True):
    """What an operator can read and do.

    `forms` know the types of the registry. There is a `dry_run` if
    registry, policy and database were all given.
    """

    reads: Reads
    actions: Actions
    forms: Forms
    schedules: ScheduleService
    tokens: Tokens
    audit: AuditChain
    types: TypeDetails
    dry_runs: DryRun | None = None


def make_operations(
    settings: Settings,
    *,
    broker: Broker,
    inspection: Inspection,
    control: Control,
    bus: Bus,
    database: Database | None,
    read_only: bool = False,
    clock: Clock | None = None,
    registry: Registry | None = None,
    policy: Policy | None = None,
    database_away: DatabaseHealth | None = None,
) -> Operations:
    """Build the operator service over open engines.

    `database_away` is the state of a database that could not be opened.
    With a `registry`, payloads are validated and forms are available; with a `policy` as well, jobs can be
    dry-run.
    """
    clock = clock or SystemClock()
    reads = Reads(
        inspection=inspection,
        bus=bus,
        database=database,
        clock=clock,
        unserved_days=settings.unserved_days,
        lease_seconds=settings.lease_seconds,
        database_away=database_away,
    )
    journal = Journal(database, clock, actor=settings.actor, read_only=read_only)
    actions = Actions(
        reads=reads,
        broker=broker,
        control=control,
        journal=journal,
        radius_m=settings.case_radius_m,
        registry=registry,
    )
    dry_runs = None
    if registry is not None and policy is not None and database is not None:
        dry_runs = DryRun(
            registry=registry,
            policy=policy,
            database=database,
            clock=clock,
            radius_m=settings.case_radius_m,
        )
    schedules = ScheduleService(
        inspection, clock, broker=broker, control=control, journal=journal, registry=registry
    )
    tokens = Tokens(reads, journal)
    audit = AuditChain(
        bus=bus,
        reads=reads,
        journal=journal,
        signer=HeadSigner(settings.namespace, settings.audit_key),
        lasting=settings.broker.kind is not BackendKind.MEMORY,
    )
    types = TypeDetails(reads, schedules, registry, timeout_seconds=settings.job_timeout_seconds)
    return Operations(reads, actions, Forms(registry), schedules, tokens, audit, types, dry_runs)
