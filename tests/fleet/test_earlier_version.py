"""Jobs of a version with another format of records are not touched, and the error says what to do."""

from __future__ import annotations

import pytest

from hms_svc import bootstrap
from hms_svc.domain.errors import BadSetting
from hms_svc.settings import Settings
from tests.support.fleet import settings_for
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
