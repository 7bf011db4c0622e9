"""The wheels of this checkout, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributions.environments import CLIENT, ROOT, Environment, build_wheel
from tests.support.once import made_once


def _wheel(factory: pytest.TempPathFactory, name: str, project: Path) -> Path:
    [wheel] = made_once(factory, name, lambda folder: build_wheel(project, folder)).glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of hms-svc."""
    return _wheel(tmp_path_factory, "wheel", ROOT)


@pytest.fixture(scope="session")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of hms-svc-client."""
    return _wheel(tmp_path_factory, "client-wheel", CLIENT)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """hms-svc with its requirements and no extra."""
    return Environment(tmp_path_factory.mktemp("installed"), wheel)
