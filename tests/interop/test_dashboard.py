"""Each panel of the dashboard shows something, asked of a real Prometheus that scrapes a busy service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from hms_svc.demo.city import BLOCKED_USER
from hms_svc.demo.crew_office import CrewOffice
from hms_svc.demo.simulation import Simulation
from hms_svc.settings import load_settings
from tests.chaos.site import Site
from tests.interop.conftest import serve_with_worker
from tests.interop.prometheus import Prometheus
from tests.support.waiting import wait_until

pytestmark = pytest.mark.interop
BOARD: Final = Path(__file__).parents[2] / "deploy" / "grafana" / "hms-svc.json"
RATE_SECONDS: Final = 30
VARIABLES: Final = {"$type": ".+", "$__rate_interval": f"{RATE_SECONDS}s"}
"""As Grafana puts them in: all types, and a multiple of the scrape interval."""
LONGEST_SECONDS: Final = 150.0
SECRET: Final = "of nobody else's server"
SEED: Final = 1
RATE: Final = 10.0


def targets() -> Iterator[tuple[str, str]]:
    for panel in json.loads(BOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield f"{panel['title']} {target['refId']}", expression


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus beside the simulated city of the demo, served with an HTTP API."""
    site = Site(tmp_path_factory.mktemp("city"))
    began = time.time()
    with CrewOffice(began, SEED) as office:
        city = {
            "app": "hms_svc.demo.services:app",
            "blocked_users": BLOCKED_USER,
            "webhook_url": office.url,
            "webhook_secret": SECRET,
            "webhook_allowed_hosts": "127.0.0.1",
            "grace_seconds": 1,
        }
        settings = load_settings({}, environ=site.environment(**city)).settings
        address = serve_with_worker(site, **city)
        with (
            Prometheus(tmp_path_factory.mktemp("prometheus"), [address]) as running,
            Simulation(settings, seed=SEED, rate=RATE, began=began),
        ):
            yield running
    site.close()


@pytest.mark.parametrize(
    "expression", [pytest.param(expression, id=title) for title, expression in targets()]
)
def test_a_panel_has_data(expression: str, prometheus: Prometheus) -> None:
    assert "$" not in expression
    wait_until(expression, lambda: prometheus.query(expression), LONGEST_SECONDS)


def test_the_types_to_choose_from_are_there(prometheus: Prometheus) -> None:
    found = {labels["type"] for labels, _ in prometheus.query("group by (type) (hms_jobs)")}
    assert {"pothole.report", "streetlight.report"} <= found
