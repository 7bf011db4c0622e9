"""The permits example: its own tests, its size, and what `kill -9` does to it, on both backends."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

import hms_svc
from hms_svc import Job
from pretend_city import PretendCity, pretend_city
from tests.chaos.pairs import EMBEDDED, FLEET
from tests.support.postgres_server import PostgresServer
from tests.support.serve_process import serving
from tests.support.waiting import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "permits"
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("HMS_SVC", "PYTEST", "COVERAGE_PROCESS"))
}
PRIVATE = re.compile(r"^\s*(?:from|import) (hms_svc\S*)(?: import (.*))?$", re.MULTILINE)


@pytest.mark.interop
def test_its_own_tests_pass() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-config"]
    ran = subprocess.run(
        command, cwd=EXAMPLE, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_it_runs_as_its_page_says(tmp_path: Path) -> None:
    with pretend_city(citizens=20) as city:
        environment = {
            **ENVIRONMENT,
            "HMS_SVC_CONFIG": "config.toml",
            "HMS_SVC_DATA_DIR": str(tmp_path),
            "HMS_SVC_APPS__PERMITS__CITY_URL": city.url,
            "HMS_SVC_APPS__PERMITS__DOCUMENTS": str(tmp_path / "documents"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

        def program(*arguments: str) -> list[dict[str, Any]]:
            command = [sys.executable, "-m", "hms_svc", *arguments]
            ran = subprocess.run(
                command, cwd=EXAMPLE, env=environment, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 0, ran.stdout + ran.stderr
            return [json.loads(line) for line in ran.stdout.splitlines()]

        program("enqueue", "jobs.json", "--json")
        program("serve", "--drain")
        jobs = program("jobs", "list", "--json", "--limit", "1000")
    states = Counter((job["type"], job["state"]) for job in jobs)
    assert states == {
        ("permits.tables", "completed"): 1,
        ("permit.apply", "completed"): 2,
        ("permit.apply", "held"): 1,
        ("fee.charge", "completed"): 2,
        ("document.render", "completed"): 2,
        ("citizen.notify", "completed"): 22,
        ("ward.announce", "completed"): 1,
        ("ward.announced", "completed"): 1,
    }


def test_it_is_a_package_that_workers_find(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(tmp_path), str(EXAMPLE)], env=ENVIRONMENT, check=True)
    [point] = [
        point
        for found in distributions(path=[str(tmp_path)])
        for point in found.entry_points.select(group="hms_svc.apps")
    ]
    assert (point.name, point.value) == ("permits", "permits.jobs:registry")
    names = {path.name for path in tmp_path.glob("permits/*.py")}
    assert names == {path.name for path in EXAMPLE.glob("permits/*.py")}


def statements(file: Path) -> int:
    """Return the lines of code of a file: without blank ones, comments, docstrings and imports."""
    text = file.read_text(encoding="utf-8")
    lines = {
        number
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.strip().startswith("#")
    }
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            assert node.end_lineno is not None
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def test_it_is_as_long_as_its_page_says_and_uses_public_names_alone() -> None:
    files = sorted((EXAMPLE / "permits").glob("*.py"))
    counted = {file.name: statements(file) for file in files if file.name != "__init__.py"}
    page = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    said = re.findall(r"^\| \[`permits/(\w+\.py)`\]\(\S+\) \| .* \| (\d+) \|$", page, re.MULTILINE)
    assert {name: int(lines) for name, lines in said} == counted
    for file in (*files, *EXAMPLE.glob("*.py"), *EXAMPLE.glob("tests/*.py")):
        for module, _ in PRIVATE.findall(file.read_text(encoding="utf-8")):
            assert module in ("hms_svc", "hms_svc.testing"), file


class Installation:
    """One installation that serves the permits, and the city that it talks to."""

    def __init__(self, folder: Path, city: PretendCity, fetch: Callable[[str], list[Any]]) -> None:
        self.kills = folder / "kills"
        self.kills.mkdir()
        self.documents = folder / "documents"
        self.city = city
        self.fetch = fetch

    def grant(self, parcel: str) -> None:
        """Apply for a permit, and wait until it is granted."""
        data = {"applicant": "Ada", "email": "ada@example.org", "account": "A-1", "ward": 1}
        data |= {"parcel": parcel, "storeys": 2}
        handle = hms_svc.jobs.enqueue(Job("permit.apply", data, version=2, id=parcel))
        assert handle.result(PATIENCE_SECONDS) == {"permit": parcel}

    def kill_next(self, place: str, type: str) -> None:
        """Let the process that runs the next job of a type die there."""
        (self.kills / f"{place} {type}").touch()

    def takes(self, place: str, type: str) -> bool:
        """Return whether a job of a type is to die there, and take the order away."""
        file = self.kills / f"{place} {type}"
        is_ordered = file.exists()
        file.unlink(missing_ok=True)
        return is_ordered

    def kill_worker_of(self, job_id: str) -> None:
        os.kill(int((self.kills / job_id).read_text()), signal.SIGKILL)

    def wait_for_kill(self, place: str, type: str) -> None:
        file = self.kills / f"{place} {type}"
        wait_until(f"it died {place} {type}", lambda: not file.exists())

    def wait_for_notices(self, number: int) -> None:
        wait_until(
            f"{number} are told", lambda: len(self.column("select job from notices")) == number
        )

    def column(self, query: str) -> list[Any]:
        return [row[0] for row in self.fetch(query)]


@pytest.fixture
def installation(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    monkeypatch.setenv("HMS_SVC_CONFIG", "")
    monkeypatch.setenv("HMS_SVC_DATA_DIR", str(tmp_path))
    if request.param == EMBEDDED:

        def fetch(query: str) -> list[Any]:
            file = f"file:{tmp_path}/cases.db?mode=ro"
            with closing(sqlite3.connect(file, uri=True)) as connection:
                return connection.execute(query).fetchall()

    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        name: str = request.getfixturevalue("postgres_database")
        monkeypatch.setenv("HMS_SVC_BROKER_URL", request.getfixturevalue("redis_server").url())
        monkeypatch.setenv("HMS_SVC_DATABASE_URL", server.url(name))

        def fetch(query: str) -> list[Any]:
            return asyncio.run(server.fetch(name, query))

    with pretend_city() as city:
        hms_svc.close()
        yield Installation(tmp_path, city, fetch)
        hms_svc.close()


def environment_of(here: Installation) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{EXAMPLE}",
        "PERMITS_KILLS": str(here.kills),
        "HMS_SVC_POLICY_FILE": str(EXAMPLE / "policy.toml"),
        "HMS_SVC_APPS__PERMITS__CITY_URL": here.city.url,
        "HMS_SVC_APPS__PERMITS__CITY_KEY": "key",
        "HMS_SVC_APPS__PERMITS__DOCUMENTS": str(here.documents),
    }


APP = "tests.examples.killed_permits:registry"
ALL = [
    ("before", "permit.apply"),
    ("after", "permit.apply"),
    ("bank", "fee.charge"),
    ("after", "fee.charge"),
    ("before", "document.render"),
    ("after", "document.render"),
    ("after", "citizen.notify"),
]
SOME = [("bank", "fee.charge"), ("after", "document.render")]


AT_LENGTH = pytest.mark.chaos


@pytest.mark.parametrize(
    ("installation", "places", "citizens"),
    [
        pytest.param(FLEET, SOME, 60, id="fleet-some", marks=pytest.mark.interop),
        pytest.param(EMBEDDED, SOME, 60, id="embedded-some", marks=AT_LENGTH),
        pytest.param(FLEET, ALL, 200, id="fleet-all", marks=AT_LENGTH),
        pytest.param(EMBEDDED, ALL, 200, id="embedded-all", marks=AT_LENGTH),
    ],
    indirect=["installation"],
)
def test_what_a_kill_does_to_it(
    installation: Installation, places: list[tuple[str, str]], citizens: int
) -> None:
    here, city = installation, installation.city
    city.register(citizens)

    def at_the_bank(path: str, key: str) -> None:
        if path == "/charges" and here.takes("bank", "fee.charge"):
            here.kill_worker_of(key)

    def at_the_register(path: str, key: str) -> None:
        if "after=citizen-049" in path and here.takes("register", "ward.announce"):
            here.kill_worker_of("announcement")

    city.after, city.before = at_the_bank, at_the_register
    with serving(APP, here.kills.parent, environment_of(here)):
        hms_svc.jobs.enqueue(Job("permits.tables", None, id="tables")).result(PATIENCE_SECONDS)
        for number, (place, type) in enumerate(places, start=1):
            here.kill_next(place, type)
            here.grant(f"parcel-{number}")
            here.wait_for_notices(number)
            here.wait_for_kill(place, type)
        for place in ("register", "after"):
            here.kill_next(place, "ward.announce")
        job = Job("ward.announce", {"ward": 3, "text": "The road is closed"}, id="announcement")
        assert hms_svc.jobs.enqueue(job).result(PATIENCE_SECONDS) == citizens
        told = hms_svc.jobs.batch("announcement.notices").result(PATIENCE_SECONDS)
        assert told == f"ward 3: {citizens} citizens were told"
        for place in ("register", "after"):
            here.wait_for_kill(place, "ward.announce")
        wait_until("all ended", lambda: not hms_svc.jobs.list("state:queued,processing,retrying"))
        assert hms_svc.jobs.list("state:dead,rejected,cancelled") == []
    parcels = [f"parcel-{number}" for number in range(1, len(places) + 1)]
    assert sorted(here.column("select parcel from permits")) == parcels
    assert sorted(here.column("select permit from fees")) == parcels
    assert len(city.charges) == len(parcels)
    assert sorted(path.stem for path in here.documents.glob("*.txt")) == parcels
    neighbours = here.column("select citizen from notices where citizen <> 'ada@example.org'")
    assert sorted(neighbours) == city.citizens
    assert len(city.messages) == len(places) + citizens
