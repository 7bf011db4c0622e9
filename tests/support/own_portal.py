"""The portal of this process over the engines of a test's worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import hms_svc
from hms_svc.settings import Settings


@pytest.fixture
def own_portal(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let calls without a job go to the broker and the database of `settings`."""
    monkeypatch.setenv("HMS_SVC_CONFIG", "")
    monkeypatch.setenv("HMS_SVC_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("HMS_SVC_BROKER_URL", settings.broker_url)
    hms_svc.close()
    yield
    hms_svc.close()
