"""The sealer while the broker is away: rows are chained on, and the head is published afterwards."""

from __future__ import annotations

import pytest

from hms_svc import bootstrap
from hms_svc.domain.audit_heads import HeadSigner, head_of
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.event import AUDIT_SEALED
from hms_svc.domain.views import AuditRecord
from hms_svc.ports.clock import SystemClock
from hms_svc.runtime.audit_sealer import AuditSealer
from hms_svc.settings import Settings
from tests.support.fleet import settings_for
from tests.support.redis_server import RedisMaker


async def test_rows_are_sealed_while_the_broker_is_away(
    settings: Settings, make_redis: RedisMaker
) -> None:
    server, clock = make_redis(appendonly="always"), SystemClock()
    database = bootstrap.database(settings)
    await database.open()
    async with bootstrap.backend(settings_for(settings, server.url())) as backend:
        sealer = AuditSealer(database.audit, backend.bus, clock, HeadSigner("default"))
        await sealer.run_once()
        server.kill()
        row = AuditRecord(at=clock.now_ms(), actor="ada", action="job.retry", subject="job-1")
        await database.audit.append([row])
        with pytest.raises(BrokerUnavailable):
            await sealer.run_once()
        assert (await database.audit.sealed_chain([])).link == 1
        server.start()
        await sealer.run_once()
        newest = (await backend.bus.audit_anchor.heads()).newest
        assert newest is not None
        assert (newest.link, newest.unproven) == (1, 0)
        assert head_of(await backend.bus.latest(AUDIT_SEALED)) == newest
    await database.close()
