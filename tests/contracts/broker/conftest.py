"""The fixtures of these tests; see `tests.support.broker_engines`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import pytest

from tests.support.broker_engines import clock, harness, make_backend, settings

__all__ = ["clock", "harness", "make_backend", "settings"]
FIRST_SEED = 0
IS_REDIS_HERE = shutil.which("redis-server") is not None


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Leave fakeredis, which stands in for Redis, to `make interop` where there is a real one.

    Random tests on it, where a step takes ten times as long, are in the long tier but for the first seed.
    """
    for item in items:
        params = (
            item.callspec.params
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
            else {}
        )
        if params.get("make_backend") != "fakeredis":
            continue
        if params.get("seed", FIRST_SEED) != FIRST_SEED:
            item.add_marker(pytest.mark.chaos)
        elif IS_REDIS_HERE and item.get_closest_marker("chaos") is None:
            item.add_marker(pytest.mark.interop)
