"""Which schemas a program starts on, of either kind of database."""

from __future__ import annotations

import pytest

from hms_svc.domain.errors import SchemaMismatch
from hms_svc.persistence import schema
from tests.support.database_engines import Opener, Site
from tests.support.database_requests import effect


async def newer(site: Site, *, oldest_program: str) -> None:
    await site.tamper("UPDATE hms_svc_version SET version_num = '9999'")
    await site.tamper(f"UPDATE schema_info SET oldest_program = '{oldest_program}'")


async def test_a_newer_schema_that_needs_newer_programs_is_refused(
    another: Opener, site: Site
) -> None:
    await (await another()).close()
    await newer(site, oldest_program="9998")
    with pytest.raises(SchemaMismatch, match=r"9999.*newer hms-svc"):
        await another()


async def test_a_newer_schema_that_has_only_grown_is_worked_on(another: Opener, site: Site) -> None:
    await (await another()).close()
    await newer(site, oldest_program=schema.HEAD)
    database = await another()
    await database.effects.commit([effect("a")])
    assert (await database.health()).ok
    assert await database.migrate() == "9999"


async def test_the_schema_of_another_program_is_refused(another: Opener, site: Site) -> None:
    await (await another()).close()
    await site.tamper("UPDATE hms_svc_version SET version_num = 'ae1027a6acf'")
    with pytest.raises(SchemaMismatch, match=r"ae1027a6acf of another program"):
        await another()


async def test_migrating_again_changes_nothing(another: Opener) -> None:
    database = await another()
    assert [await database.migrate() for _ in range(2)] == [schema.HEAD] * 2
