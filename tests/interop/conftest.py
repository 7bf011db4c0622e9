"""A service of real processes, for parts that others wrote."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site on embedded files; what it starts has ended after the test."""
    site = Site(tmp_path)
    yield site
    site.close()


def is_ready(address: str) -> bool:
    """Tell whether a service of ours answers there (`host:port`) that it is ready."""
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
