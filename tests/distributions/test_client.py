"""hms-svc-client: what a program needs that only enqueues, and what it says of the rest."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.distributions.environments import (
    CLIENT,
    ROOT,
    Environment,
    names_in,
    requirements_of,
)
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.interop
ENQUEUE = """
from hms_svc import Job

job = Job("pothole.report", {"user_id": "usr-1", "lat": 38.9, "lon": -77.03})
print(job.enqueue())
"""
FOLLOW = """
from hms_svc import events

with events(after=0, types=["case.*"]) as stream:
    print(next(stream).type)
"""
AWAITED = """
import asyncio
from hms_svc import aio

async def main():
    print(await aio.Job("pothole.report", {"user_id": "usr-1"}).enqueue())
    await aio.close()

asyncio.run(main())
"""


HANDLES = """
from hms_svc import Job, JobNotEnded, UnknownId, jobs

handle = jobs.enqueue(Job("pothole.report", {"user_id": "usr-1"}))
print(handle.state(), [each.id for each in jobs.list("type:pothole.report")] == [handle.id])
for ask, error in ((lambda: handle.result(timeout=0.01), JobNotEnded), (lambda: jobs.get("x"), UnknownId)):
    try:
        ask()
    except error as raised:
        print(type(raised).__name__)
handle.cancel()
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, client_wheel: Path) -> Environment:
    return Environment(tmp_path_factory.mktemp("client"), client_wheel)


def project(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return found


def test_version_python_and_requirements_are_those_of_hms_svc() -> None:
    whole, client = project(ROOT), project(CLIENT)
    for name in ("version", "requires-python", "license", "authors"):
        assert client[name] == whole[name]
    assert set(client["dependencies"]) <= set(whole["dependencies"])
    pythons = [each for each in whole["classifiers"] if "Python" in each]
    assert set(pythons) <= set(client["classifiers"])


def test_it_installs_five_packages(client_wheel: Path) -> None:
    names = {each.name.lower() for each in requirements_of(client_wheel)}
    assert names == {"aiosqlite", "hiredis", "msgspec", "platformdirs", "redis"}


def test_it_leaves_out_what_needs_the_console_and_the_http_api(client_wheel: Path) -> None:
    names = names_in(client_wheel)
    assert "hms_svc/__init__.py" in names
    left_out = ("cli", "demo", "http_api", "testing", "tui", "sample_jobs", "__main__.py")
    assert not [
        name for name in names if name.startswith(tuple(f"hms_svc/{each}" for each in left_out))
    ]


def test_the_page_names_the_packages_that_it_leaves_out() -> None:
    page = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    stated = re.search(r"It leaves out the packages (.*)\.", page)
    assert stated is not None
    with (CLIENT / "pyproject.toml").open("rb") as file:
        excluded = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["exclude"]
    folders = [each.removeprefix("/hms_svc/") for each in excluded if not each.endswith(".py")]
    assert re.findall(r"`(\w+)`", stated[1]) == folders


def test_the_page_states_the_sizes_of_both_wheels(wheel: Path, client_wheel: Path) -> None:
    page = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    stated = re.search(
        r"The wheel of hms-svc has ([\d.]+) MB, that of the client ([\d.]+) MB", page
    )
    assert stated is not None
    for megabytes, built in zip(stated.groups(), (wheel, client_wheel), strict=True):
        assert float(megabytes) == pytest.approx(built.stat().st_size / 1e6, rel=0.1)


def check_one_job(client: Environment, whole: Environment, folder: Path, **settings: str) -> None:
    """Enqueue with the client, work with hms-svc, and follow with the client."""
    data = {"data_dir": str(folder / "data"), **settings}
    enqueued = client.python(ENQUEUE, **data)
    assert (enqueued.stdout, enqueued.stderr) == ("queued\n", "")
    served = whole.hms_svc("serve", "--drain", **data)
    assert served.returncode == 0, served.stderr
    followed = client.python(FOLLOW, **data)
    assert (followed.stdout, followed.stderr) == ("case.opened\n", "")


def test_a_worker_takes_what_it_has_enqueued_into_a_file(
    client: Environment, installed: Environment, tmp_path: Path
) -> None:
    check_one_job(client, installed, tmp_path)


def test_a_worker_takes_what_it_has_enqueued_into_redis(
    client: Environment, installed: Environment, tmp_path: Path, redis_server: RedisServer
) -> None:
    check_one_job(client, installed, tmp_path, broker_url=redis_server.url())


def test_it_has_the_awaitable_calls(client: Environment) -> None:
    done = client.python(AWAITED)
    assert (done.stdout, done.stderr) == ("queued\n", "")


def test_it_has_handles_that_read_and_await(client: Environment, tmp_path: Path) -> None:
    done = client.python(HANDLES, data_dir=str(tmp_path))
    assert done.stdout.splitlines() == ["queued True", "JobNotEnded", "UnknownId"]
    told = ": the case database is not part of hms-svc-client: pip install hms-svc"
    assert done.stderr.splitlines()[-1].endswith(told)


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("from hms_svc import dao; dao.outside.case_exists(1.0, 2.0)", "the case database"),
        ("from hms_svc import gov; gov.vet('create_case', {})", "governance"),
        ("from hms_svc import Worker", "hms_svc.Worker"),
    ],
)
def test_the_rest_names_the_distribution_that_has_it(
    client: Environment, script: str, what: str
) -> None:
    done = client.python(script)
    told = f": {what} is not part of hms-svc-client: pip install hms-svc"
    assert done.stderr.splitlines()[-1].endswith(told)


def test_doctor_finds_both_distributions_in_one_environment(
    tmp_path: Path, wheel: Path, client_wheel: Path
) -> None:
    environment = Environment(tmp_path, wheel)
    environment.install(client_wheel)
    done = environment.hms_svc("doctor")
    assert done.returncode == 1
    assert "hms-svc-client is installed beside hms-svc" in done.stdout
