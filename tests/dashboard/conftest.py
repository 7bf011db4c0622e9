"""Consoles over the real operator service, each in its own folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

import hms_svc.tui.store
from hms_svc.domain.local_time import ZONE
from tests.support.console import drive_console


class ConsoleMaker(Protocol):
    """Opens a console; takes the arguments of `drive_console`."""

    def __call__(self, **options: Any) -> Any:
        """Return the context manager that opens it."""
        ...


@pytest.fixture(autouse=True)
def times_in_utc() -> Iterator[None]:
    """Draw the same pictures on every machine."""
    ZONE.set("UTC")
    yield
    ZONE.set("")
    ZONE.is_utc = False


@pytest.fixture
def fast_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a console poll as often as a test wants."""
    monkeypatch.setattr(hms_svc.tui.store, "MIN_SECONDS", 0.01)


@pytest.fixture
def open_console(tmp_path: Path, fast_polls: None) -> ConsoleMaker:
    """Open a console on the embedded engines in the test's folder."""

    def open_driven(*, app: tuple[str, ...] = (), actor: str = "ann", **options: Any) -> Any:
        return drive_console({"data_dir": str(tmp_path), "app": app, "actor": actor}, **options)

    return open_driven
