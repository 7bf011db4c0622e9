"""A service of real processes, for parts that others wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.site import Site
from tests.support.proxy import LOOPBACK, free_port


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site on embedded files; what it starts has ended after the test."""
    site = Site(tmp_path)
    yield site
    site.close()


def make_token(site: Site, scopes: str) -> str:
    """Make a bearer token with these scopes (`produce,view`), as an operator does."""
    words = ["tokens", "create", "client", "--scope", scopes, "--json"]
    made = subprocess.run(
        [sys.executable, "-m", "hms_svc", *words],
        env=site.environment(),
        cwd=site.folder,
        capture_output=True,
        check=True,
    )
    return str(json.loads(made.stdout)["token"])


def is_ready(address: str) -> bool:
    """Return whether a service of ours answers there (`host:port`) that it is ready."""
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def busy_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a service with a worker answers, for the tests of one file."""
    site = Site(tmp_path_factory.mktemp("site"))
    yield serve_with_worker(site)
    site.close()


def serve_with_worker(site: Site, **settings: object) -> str:
    """Serve, and wait for a worker; returns the address (`host:port`)."""
    address = f"{LOOPBACK}:{free_port()}"
    served = site.serve(within=(), http=address, **settings)
    served.wait_until("a worker has registered", lambda: b"hms_queue_served{" in metrics(address))
    return address


def metrics(address: str) -> bytes:
    """Return what a service of ours measures, nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return b""
