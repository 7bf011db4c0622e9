"""The fixtures of these tests; see `tests.support.broker_engines`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.broker_engines import clock, harness, make_backend, settings

__all__ = ["clock", "harness", "make_backend", "settings"]
FIRST_SEED = 0


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Leave random tests on fakeredis, where a step takes ten times as long, to the long tier but for the first seed."""
    for item in items:
        params = (
            item.callspec.params
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
            else {}
        )
        if (
            params.get("make_backend") == "fakeredis"
            and params.get("seed", FIRST_SEED) != FIRST_SEED
        ):
            item.add_marker(pytest.mark.chaos)
