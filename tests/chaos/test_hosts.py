"""Two hosts that share a queue; one is cut off with running jobs, and comes back."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.pairs import on_fleet
from tests.chaos.site import Site
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisMaker, RedisServer
from tests.support.serve_process import Served

JOBS = 5
OUR_END: Final = "10.213.77.1"
THEIR_END: Final = "10.213.77.2"


class Cable:
    """The way of one host to the broker: what it connects to, and how it is cut."""

    def __init__(
        self,
        url: str,
        cut: Callable[[], None],
        mend: Callable[[], None],
        within: tuple[str, ...] = (),
    ) -> None:
        self.url, self.cut, self.mend, self.within = url, cut, mend, within


@pytest.fixture
def proxied(redis_server: RedisServer) -> Iterator[Cable]:
    with Proxy(redis_server.port) as proxy:
        yield Cable(redis_server.url(port=proxy.port), proxy.black_hole, proxy.pass_through)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network of its own, joined with ours by one cable whose end here bears the same name."""
    name = f"hms{os.getpid()}"
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root, and ip of iproute2")
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "far", "netns", name)
        ip("address", "add", f"{OUR_END}/30", "dev", name)
        ip("link", "set", name, "up")
        ip("-netns", name, "address", "add", f"{THEIR_END}/30", "dev", "far")
        ip("-netns", name, "link", "set", "far", "up")
        yield name
    finally:
        ip("netns", "delete", name)


@pytest.fixture
def apart(make_redis: RedisMaker, namespace: str, tmp_path: Path) -> Iterator[tuple[Site, Cable]]:
    """A site, and a way to its broker out of another network."""
    server = make_redis()
    server.cli("CONFIG", "SET", "protected-mode", "no")
    server.cli("CONFIG", "SET", "bind", f"127.0.0.1 {OUR_END}")
    site = Site(tmp_path, server.url())
    yield (
        site,
        Cable(
            f"redis://{OUR_END}:{server.port}/0",
            lambda: ip("link", "set", namespace, "down"),
            lambda: ip("link", "set", namespace, "up"),
            within=("ip", "netns", "exec", namespace),
        ),
    )
    site.close()


def host(site: Site, name: str, *arguments: str, cable: Cable | None = None) -> Served:
    """Start a service with a data directory of its own."""
    folder: Path = site.folder / name
    folder.mkdir(exist_ok=True)
    return site.serve(
        *arguments,
        within=cable.within if cable else (),
        app=APP,
        data_dir=folder,
        broker_url=cable.url if cable else site.broker_url,
        test_folder=site.folder,
    )


def takes_over(site: Site, cable: Cable, type: str) -> None:
    """Cut one of two hosts off with running jobs, and bring it back when the other has done them."""
    lonely = host(site, "lonely", cable=cable)
    site.enqueue(type, JOBS)
    lonely.wait_until("its jobs are under way", lambda: len([*site.folder.glob("waits-*")]) == JOBS)
    workers = lonely.workers()
    cable.cut()
    other = host(site, "other", "--types", type)
    other.wait_until("they are taken over", lambda: site.count(State.COMPLETED, type) == JOBS)
    before = site.jobs(type)
    (site.folder / "go-on").touch()
    cable.mend()
    site.enqueue("chaos.slow", 1)
    lonely.wait_until("it works again", lambda: site.count(State.COMPLETED, "chaos.slow") == 1)
    lonely.wait_until("it knows", lambda: lonely.fenced() == {job.id for job in before})
    assert lonely.workers() == workers, "it had to be started again"
    site.stop()
    assert site.jobs(type) == before, "who was cut off has settled something"
    report = site.check()
    assert report.faults == []
    assert report.rescues == JOBS
    assert report.states == {"completed": JOBS + 1}


@on_fleet
@pytest.mark.parametrize(
    "type", ["chaos.case_wait", pytest.param("chaos.wait_case", marks=pytest.mark.chaos)]
)
def test_a_host_that_was_cut_off_settles_nothing(site: Site, proxied: Cable, type: str) -> None:
    takes_over(site, proxied, type)


@pytest.mark.chaos
@pytest.mark.parametrize("type", ["chaos.wait_case", "chaos.case_wait"])
def test_a_host_in_another_network_settles_nothing(apart: tuple[Site, Cable], type: str) -> None:
    """Their files, and so the database, they share: the cable leads to the broker alone."""
    takes_over(*apart, type)
