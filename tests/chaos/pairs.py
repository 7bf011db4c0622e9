"""The pairs of broker and database that a test runs over."""

from __future__ import annotations

from typing import Final

import pytest

EMBEDDED: Final = "sqlite"
FLEET: Final = "redis-postgresql"
BETWEEN: Final = "redis-sqlite"
ACROSS: Final = "sqlite-postgresql"

on_fleet: Final = pytest.mark.parametrize("site", [FLEET], indirect=True)
on_both: Final = pytest.mark.parametrize("site", [EMBEDDED, FLEET], indirect=True)
on_both_brokers: Final = pytest.mark.parametrize("site", [EMBEDDED, BETWEEN], indirect=True)
"""For so many processes that PostgreSQL's usual hundred connections would not do for all."""
on_every_pair: Final = pytest.mark.parametrize("site", [EMBEDDED, BETWEEN, FLEET], indirect=True)
on_all_four: Final = pytest.mark.parametrize(
    "site", [EMBEDDED, BETWEEN, ACROSS, FLEET], indirect=True
)
on_fleet_first: Final = pytest.mark.parametrize(
    "site", [FLEET, pytest.param(EMBEDDED, marks=pytest.mark.chaos)], indirect=True
)
"""What takes long, and is the same program but for the broker: on embedded files in the long tier."""


def each_on_one(first: str, second: str, name: str = "type") -> pytest.MarkDecorator:
    """Run both over both pairs: one over each in the short tier, the rest in the long one."""
    return pytest.mark.parametrize(
        ("site", name),
        [
            (EMBEDDED, first),
            (FLEET, second),
            pytest.param(EMBEDDED, second, marks=pytest.mark.chaos),
            pytest.param(FLEET, first, marks=pytest.mark.chaos),
        ],
        indirect=["site"],
    )
