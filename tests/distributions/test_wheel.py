"""The wheel of hms-svc, installed with its requirements and no extra."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.distributions.environments import ROOT, Environment, names_in, requirements_of
from tests.support.proxy import LOOPBACK, free_port

SAMPLE = str(ROOT / "sample_jobs" / "pothole.json")


def test_the_wheel_takes_no_name_but_that_of_the_package(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names_in(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"hms_svc"}


def test_the_wheel_has_every_file_of_the_console_and_the_samples(wheel: Path) -> None:
    names = set(names_in(wheel))
    for folder, place in (("tui", "hms_svc/tui"), ("sample_jobs", "hms_svc/sample_jobs")):
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
        kept = [path for path in files if "__pycache__" not in path.parts]
        assert {f"{place}/{path.relative_to(ROOT / folder)}" for path in kept} <= names


def test_the_console_is_imported_by_its_installed_name_alone() -> None:
    wrong = re.compile(r"^\s*(from|import) tui\b", re.MULTILINE)
    folders = ("hms_svc", "tui", "tests", "tools", "benchmarks")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert sources
    assert not [path for path in sources if wrong.search(path.read_text(encoding="utf-8"))]


@pytest.mark.interop
def test_no_extra_is_needed_for_the_sample_the_http_api_and_the_console(
    installed: Environment, tmp_path: Path
) -> None:
    def hms_svc(*words: str) -> str:
        done = installed.hms_svc(*words, data_dir=str(tmp_path))
        assert done.returncode == 0, done.stderr
        return done.stdout

    job_id = json.loads(hms_svc("enqueue", SAMPLE, "--json"))["id"]
    hms_svc("serve", "--drain", "--http", f"{LOOPBACK}:{free_port()}")
    shown = json.loads(hms_svc("jobs", "show", job_id, "--json"))
    assert shown["state"] == "completed"
    assert shown["case_id"] in hms_svc("cases", "list")
    picture = tmp_path / "console.svg"
    hms_svc("--snapshot", str(picture), "--screen", "cases")
    assert "pothole" in picture.read_text()


def test_what_an_extra_brings_is_not_installed_without_it(wheel: Path) -> None:
    plain = {each.name.lower() for each in requirements_of(wheel)}
    rare = {
        "asyncpg",
        "greenlet",
        "opentelemetry-sdk",
        "protobuf",
        "requests",
        "pyjwt",
        "cryptography",
        "textual-serve",
        "aiohttp",
    }
    assert plain.isdisjoint(rare)
    assert rare <= {each.name.lower() for each in requirements_of(wheel, ["all"])}


def test_the_version_is_that_of_the_wheel(installed: Environment, wheel: Path) -> None:
    version = wheel.name.split("-")[1]
    assert installed.hms_svc("--version").stdout == f"hms-svc {version}\n"
