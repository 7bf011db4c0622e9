"""An embedded queue file whose disk is full: what is refused is counted, and what is free is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from hms_svc import bootstrap
from hms_svc.brokers.sqlite.control import SQLiteControl
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.job import make_job
from hms_svc.settings import load_settings


async def test_what_a_full_disk_refuses_is_counted(tmp_path: Path) -> None:
    settings = load_settings({"data_dir": str(tmp_path)}, environ={"HMS_SVC_CONFIG": ""}).settings
    jobs = [make_job("a.job", {"x": "x" * 10_000}, now_ms=1_000) for _ in range(100)]
    async with bootstrap.backend(settings) as backend:
        before = await backend.inspection.health()
        assert before.refused == 0
        assert before.capacity is not None
        assert 0 < before.capacity.used < before.capacity.limit
        assert isinstance(backend.control, SQLiteControl)
        file = backend.control._file
        await file.write(lambda on: on.connection.execute("PRAGMA max_page_count = 100").fetchall())
        with pytest.raises(BrokerUnavailable, match="full"):
            await backend.broker.enqueue(jobs)
        assert (await backend.inspection.health()).refused == 1
        await backend.broker.enqueue(jobs[:1])
