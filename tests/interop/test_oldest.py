"""The oldest version of each requirement that pyproject.toml allows, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from itertools import chain
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.interop.parts import missing
from tests.support.redis_server import RedisMaker, RedisServer

pytestmark = pytest.mark.interop
ROOT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = ROOT / ".interop/oldest"
TESTS: Final = (
    "tests/fleet/test_connection.py",
    "tests/fleet/test_addresses.py",
    "tests/fleet/test_hung_server.py",
    "tests/unit/test_redis_exchange.py",
    "tests/unit/test_redis_waits.py",
    "tests/cli/test_serve_start.py",
    "tests/dashboard/test_outage.py",
)
SECONDS: Final = 240


def run(
    *words: str, settings: Mapping[str, object] | None = None, code: int = 0, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a module with the Python of that environment."""
    python = ENVIRONMENT / "bin/python"
    if not python.exists():
        missing(f"{python} is not here: `make interop` installs it")
    kept = {name: text for name, text in os.environ.items() if not name.startswith("HMS_SVC_")}
    shared = {name: text for name, text in os.environ.items() if name.startswith("HMS_SVC_TEST_")}
    done = subprocess.run(
        [str(python), "-m", *words],
        cwd=ROOT,
        env=kept
        | shared
        | {
            "HMS_SVC_CONFIG": "",
            **{f"HMS_SVC_{name.upper()}": str(each) for name, each in (settings or {}).items()},
        },
        input=given,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def installed() -> dict[str, Distribution]:
    [packages] = ENVIRONMENT.glob("lib/python*/site-packages")
    found = distributions(path=[str(packages)])
    return {canonicalize_name(each.name): each for each in found}


def test_it_has_the_oldest_versions_that_are_allowed() -> None:
    if not ENVIRONMENT.exists():
        missing(f"{ENVIRONMENT} is not here: `make interop` installs it")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for name, each in project["optional-dependencies"].items() if name != "all"]
    found = installed()
    for text in [*project["dependencies"], *chain.from_iterable(extras)]:
        needed = Requirement(text)
        [lowest] = [each.version for each in needed.specifier if each.operator == ">="]
        version = found[canonicalize_name(needed.name)].version
        assert version == lowest or version.startswith(f"{lowest}."), needed


def test_connections_to_redis_the_http_api_and_the_console() -> None:
    """TCP, Unix sockets and TLS; connections that are killed or hang, refused logins, servers that come back."""
    words = ("-q", "-p", "no:cacheprovider", "-m", "not chaos and not interop")
    assert " passed" in run("pytest", *words, *TESTS).stdout


@pytest.fixture
def server(make_redis: RedisMaker, tmp_path: Path) -> RedisServer:
    return make_redis(unixsocket=str(tmp_path / "redis.sock"), password="right")


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_jobs_are_enqueued_and_done(server: RedisServer, tmp_path: Path, kind: str) -> None:
    url = server.url() if kind == "tcp" else f"unix://:right@{server.options.unixsocket}"
    settings = {"broker_url": url, "data_dir": tmp_path / "data"}
    one = json.dumps({"type": "drill.run", "data": {"act": "print", "message": "ring"}})
    run("hms_svc", "enqueue", "-", given=one, settings=settings)
    run("hms_svc", "enqueue", "-", given="\n".join([one] * 7_000), settings=settings)
    run("hms_svc", "serve", "--drain", "--no-http", "--types", "drill.run", settings=settings)
    totals = json.loads(run("hms_svc", "status", "--json", settings=settings).stdout)["totals"]
    assert totals["completed"] == 7_001


def test_a_refused_login_is_an_outage_that_names_the_address(
    server: RedisServer, tmp_path: Path
) -> None:
    url = server.url().replace("right", "wrong")
    settings = {"broker_url": url, "data_dir": tmp_path / "data"}
    refused = run("hms_svc", "status", settings=settings, code=5).stderr
    assert refused == (
        f"hms-svc: {url.replace('wrong', '***')}: invalid username-password pair or user is disabled.\n"
    )
