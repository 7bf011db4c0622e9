"""What every chaos test gets: a seed that is printed and replays, and a site that cleans up."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.site import Site

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


@pytest.fixture
def chance() -> random.Random:
    """Randomness under a seed; HMS_SVC_TEST_SEED replays a run."""
    seed = int(os.environ.get("HMS_SVC_TEST_SEED") or random.SystemRandom().randrange(10**6))
    print(f"HMS_SVC_TEST_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()
