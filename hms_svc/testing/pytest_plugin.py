"""The pytest plugin: the fixture `bench`. pytest loads it in every run, so it imports nothing else before a test asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from hms_svc.testing.bench import Bench

OPTION: Final = "hms_svc_app"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option that names the applications of the bench."""
    parser.addini(
        OPTION,
        "applications whose jobs the fixture `bench` runs, each as module:registry",
        type="args",
    )


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Run the jobs of the applications that the ini option hms_svc_app names; see hms_svc.testing.Bench."""
    from hms_svc.sdk.apps import load_app
    from hms_svc.sdk.registry import Registry
    from hms_svc.testing.bench import Bench

    names: list[str] = request.config.getini(OPTION)
    if not names:
        raise pytest.UsageError(
            f"the fixture `bench` needs an application: set {OPTION} = permits:registry in the "
            "configuration of pytest, or define a fixture `bench` of your own with "
            "hms_svc.testing.Bench(registry)"
        )
    registry = Registry()
    for name in names:
        registry.include(load_app(name))
    with Bench(registry) as opened:
        yield opened
