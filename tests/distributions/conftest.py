"""The wheels of this checkout, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributions.environments import CLIENT, ROOT, Environment, build_wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of hms-svc."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of hms-svc-client."""
    return build_wheel(CLIENT, tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """hms-svc with its requirements and no extra."""
    return Environment(tmp_path_factory.mktemp("installed"), wheel)
