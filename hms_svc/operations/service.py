"""The operator service put together: one object that every front end is given."""

from __future__ import annotations

import msgspec

from hms_svc.operations.actions import Actions
from hms_svc.operations.journal import Journal
from hms_svc.operations.reads import Reads
from hms_svc.ports.broker import Broker
from hms_svc.ports.bus import Bus
from hms_svc.ports.clock import Clock, SystemClock
from hms_svc.ports.control import Control
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.stores import Database
from hms_svc.settings import Settings


class Operations(msgspec.Struct, frozen=True):
    """What an operator may read, and may do."""

    reads: Reads
    actions: Actions


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
) -> Operations:
    """Put the operator service together over opened engines."""
    clock = clock or SystemClock()
    reads = Reads(
        inspection=inspection,
        bus=bus,
        database=database,
        clock=clock,
        unserved_days=settings.unserved_days,
    )
    journal = Journal(database, clock, actor=settings.actor, read_only=read_only)
    actions = Actions(
        reads=reads,
        broker=broker,
        control=control,
        journal=journal,
        radius_m=settings.case_radius_m,
    )
    return Operations(reads, actions)
