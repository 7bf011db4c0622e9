"""What every test shares. Fixtures of one kind of test stand in the conftest of its folder."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.support.postgres_server",
    "tests.support.redis_server",
    "tests.chaos.figures",
]
_MEMORY: Final = Path("/dev/shm")
_ENOUGH_BYTES: Final = 2 * 1024**3
_YOUNG_OBJECTS: Final = 50_000
"""How many new objects the garbage collector waits for; with the 700 of the interpreter it is a tenth of a run."""


# A busy machine is no fault.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Place temporary folders in memory, where there is room: half of a run's time is syncs of a disk.

    No test cuts the power, so none can tell. The long tier keeps to the disk, for its timing.
    """
    if config.getoption("markexpr") == "chaos" or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return
    is_roomy = shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES
    if is_roomy and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:  # tests start scripts there
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected, and never look through them and the modules again.

    They stay to the end, and each process of a run has them all.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
        gc.enable()


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
