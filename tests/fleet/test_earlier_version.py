"""Jobs of a version with another format of records are not touched, and the error says what to do."""

from __future__ import annotations

import pytest

from hms_svc import bootstrap
from hms_svc.brokers.unreported_ends import UNREADABLE
from hms_svc.domain.errors import BadSetting
from hms_svc.domain.lifecycle import State
from hms_svc.settings import Settings
from tests.support.fleet import TYPE, Fleet, settings_for
from tests.support.redis_server import RedisServer


async def test_a_namespace_of_an_earlier_version_is_refused_with_the_way_out(
    settings: Settings, redis_server: RedisServer
) -> None:
    redis_server.cli("SADD", "hms:default:types", "pothole.report", "!")
    with pytest.raises(BadSetting, match=r"finish them with that version.*delete the keys hms:"):
        async with bootstrap.backend(settings_for(settings, redis_server.url())):
            pass
    redis_server.cli("DEL", "hms:default:types")
    async with bootstrap.backend(settings_for(settings, redis_server.url())):
        pass


@pytest.mark.parametrize("record", ["2 0 0 0 0 0 0 0 0 0 1 - 0 1 0 0 0 2 0 0 - - a - - -\n{}", "x"])
@pytest.mark.parametrize("state", [State.QUEUED, State.SCHEDULED])
async def test_a_record_of_another_format_ends_as_a_dead_letter_with_its_bytes(
    fleet: Fleet, state: State, record: str
) -> None:
    stored = record.ljust(200, "x") if record != "x" else record
    fleet.server.cli("SET", "hms:default:job:of-another", stored)
    fleet.server.cli("ZADD", f"hms:default:{state.value}:{TYPE}", 1, "of-another")
    fleet.server.cli("HINCRBY", f"hms:default:queue:{TYPE}", state.value, 1)
    fleet.server.cli("ZADD", "hms:default:due", 1, f"1 {TYPE}")
    await fleet.accept()
    await fleet.broker.promote(10)
    assert len(await fleet.claim()) == 1
    detail = await fleet.detail("of-another")
    assert detail is not None
    assert (detail.view.state, detail.view.reason) == (State.DEAD, "lost")
    assert detail.view.detail == UNREADABLE
    assert detail.raw == stored.encode()
    assert await fleet.counts() == {"processing": 1, "dead": 1}
