"""What every test shares. Fixtures of one kind of test stand in the conftest of its folder."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.servers.redis"]


@pytest.fixture(autouse=True, scope="session")
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what a test forgets to place elsewhere away from the user's own data."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("HMS_SVC_DATA_DIR", str(folder))
        yield folder


@pytest.fixture(autouse=True, scope="session")
def own_signals() -> None:
    """Let no program of the tests begin with signals ignored that whoever started the run ignores.

    `nohup` does so, and a shell for what it runs in the background. A handler
    keeps the run itself from ending, and is not inherited.
    """
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Put the program's log back as it was: commands run in this process set it up."""
    logger = logging.getLogger("hms_svc")
    handlers, propagate, level = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)
