"""Redis is stopped, or PostgreSQL says nothing, under load: which alerts a real Prometheus raises."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.chaos.site import Site
from tests.interop.conftest import metrics, serve_with_worker
from tests.interop.prometheus import Prometheus
from tests.support.framing import POSTGRESQL
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisMaker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.interop
POSTS_A_SECOND = 50
LONGEST_SECONDS = 150.0
JOB = {"type": "crew.notify", "data": {"case_id": "case-1"}}


@contextmanager
def load(address: str) -> Iterator[None]:
    """Post jobs until the block ends, whatever is answered."""
    ends = threading.Event()

    def post() -> None:
        with httpx.Client(base_url=f"http://{address}", timeout=30) as client:
            while not ends.wait(5 / POSTS_A_SECOND):
                client.post("/jobs", json=JOB)

    threads = [threading.Thread(target=post) for _ in range(5)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_a_stopped_redis_raises_the_alerts_that_name_it_and_no_other(
    make_redis: RedisMaker, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = make_redis()
    site = Site(tmp_path, broker_url=server.url())
    address = serve_with_worker(site)
    folder = tmp_path_factory.mktemp("prometheus")
    with load(address), Prometheus(folder, [address], every_seconds=5) as prometheus:
        wait_until("it is scraped", lambda: prometheus.query("hms_broker_up == 1"))
        os.kill(server.pid, signal.SIGSTOP)
        try:
            wait_until("it is seen", lambda: prometheus.query("hms_broker_up == 0"))
            wait_until(
                "the alerts fire",
                lambda: (
                    set(prometheus.alerts().items())
                    >= {("HmsBrokerDown", "firing"), ("HmsClaimHangs", "firing")}
                ),
                LONGEST_SECONDS,
            )
            assert prometheus.alerts().keys() == {"HmsBrokerDown", "HmsClaimHangs"}
            assert prometheus.query("min_over_time(up[5m]) == 0") == [], "a scrape failed"
        finally:
            os.kill(server.pid, signal.SIGCONT)
        wait_until("it is seen again", lambda: prometheus.query("hms_broker_up == 1"))
        wait_until("the alert ends", lambda: "HmsBrokerDown" not in prometheus.alerts())
        before = accepted(address)
        wait_until("it takes jobs again", lambda: accepted(address) > before)
    site.close()


def accepted(address: str) -> float:
    """Return how many posts were answered with 202."""
    head = 'hms_http_requests_total{method="POST",route="/jobs",status="202"} '
    [line] = [each for each in metrics(address).decode().splitlines() if each.startswith(head)]
    return float(line.removeprefix(head))


def test_a_database_that_says_nothing_raises_the_alert_that_names_it(
    make_redis: RedisMaker,
    postgres_server: PostgresServer,
    postgres_database: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    url = urlsplit(postgres_server.url(postgres_database))
    folder = tmp_path_factory.mktemp("prometheus")
    with Proxy(url.port or 5432, dialect=POSTGRESQL) as proxy:
        through = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{proxy.port}"))
        site = Site(tmp_path, make_redis().url(), through.geturl())
        address = serve_with_worker(site)
        with load(address), Prometheus(folder, [address], every_seconds=5) as prometheus:
            wait_until("it is scraped", lambda: prometheus.query("hms_database_up == 1"))
            proxy.black_hole()
            wait_until("it is seen", lambda: prometheus.query("hms_database_up == 0"))
            wait_until(
                "the alert fires",
                lambda: prometheus.alerts().get("HmsDatabaseDown") == "firing",
                LONGEST_SECONDS,
            )
            print(prometheus.alerts())
            assert "HmsBrokerDown" not in prometheus.alerts()
            assert prometheus.query("min_over_time(up[5m]) == 0") == [], "a scrape failed"
            proxy.pass_through()
            wait_until("it is seen again", lambda: prometheus.query("hms_database_up == 1"))
            wait_until("the alert ends", lambda: "HmsDatabaseDown" not in prometheus.alerts())
            before = accepted(address)
            wait_until("it takes jobs", lambda: accepted(address) > before)
        site.close()
