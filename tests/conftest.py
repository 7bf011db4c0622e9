"""What every test shares. Fixtures of one kind of test stand in the conftest of its folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.servers.redis"]


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Put the program's log back as it was: commands run in this process set it up."""
    logger = logging.getLogger("hms_svc")
    handlers, propagate, level = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)
