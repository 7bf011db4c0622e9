"""What needs an extra that is not installed says which, before anything starts."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from hms_svc.domain.extras import EXTRAS
from tests.distributions.environments import ROOT, Environment, requirements_of

pytestmark = pytest.mark.interop
POSTGRES = {"database_url": "postgresql://clerk:secret@db.example/city"}
OTEL = {"otlp_endpoint": "http://collector.example:4318"}
OIDC = {
    "jwks_url": "https://login.example/keys",
    "jwt_issuer": "https://login.example",
    "jwt_audience": "city",
}


@pytest.mark.parametrize(
    ("command", "settings", "told"),
    [
        (
            "serve --drain",
            POSTGRES,
            "PostgreSQL (database_url = postgresql://clerk:***@db.example/city) needs the extra 'postgres'",
        ),
        (
            "cases list",
            POSTGRES,
            "PostgreSQL (database_url = postgresql://clerk:***@db.example/city) needs the extra 'postgres'",
        ),
        (
            "--snapshot x.svg",
            POSTGRES,
            "PostgreSQL (database_url = postgresql://clerk:***@db.example/city) needs the extra 'postgres'",
        ),
        (
            "serve --drain",
            OTEL,
            "OpenTelemetry (otlp_endpoint = http://collector.example:4318) needs the extra 'otel'",
        ),
        (
            "serve --http 127.0.0.1:0",
            OIDC,
            "an identity provider (jwks_url = https://login.example/keys) needs the extra 'oidc'",
        ),
        ("serve --web", {}, "the console in a browser (--web) needs the extra 'web'"),
    ],
)
def test_a_missing_extra_is_bad_input(
    installed: Environment, command: str, settings: dict[str, str], told: str
) -> None:
    done = installed.hms_svc(*command.split(), **settings)
    extra = told.split("'")[1]
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"hms-svc: {told}: pip install 'hms-svc[{extra}]'\n"


def test_doctor_tells_every_extra_that_is_missing(installed: Environment) -> None:
    done = installed.hms_svc("doctor", "--json", **POSTGRES, **OTEL, **OIDC)
    texts = [json.loads(line)["text"] for line in done.stdout.splitlines()]
    assert done.returncode == 1
    for extra in ("postgres", "otel", "oidc"):
        assert any(text.endswith(f"pip install 'hms-svc[{extra}]'") for text in texts)


def test_a_producer_needs_no_extra_whatever_the_workers_are_told(
    installed: Environment, tmp_path: Path
) -> None:
    sample = str(ROOT / "sample_jobs" / "pothole.json")
    done = installed.hms_svc("enqueue", sample, data_dir=str(tmp_path), **POSTGRES, **OTEL, **OIDC)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("extra", EXTRAS, ids=lambda extra: extra.name)
def test_an_extra_installs_what_it_is_known_by(
    extra: tuple[str, ...], tmp_path: Path, wheel: Path
) -> None:
    name = extra[0]
    environment = Environment(tmp_path, wheel, name)
    script = "from hms_svc.domain.extras import EXTRAS; print(*(each.name for each in EXTRAS if each.is_installed))"
    done = environment.python(script)
    assert (done.stdout.split(), done.stderr) == ([name], "")


def test_the_metadata_has_these_extras_and_one_for_all() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [extra.name for extra in EXTRAS]
    stated = project["optional-dependencies"]
    assert list(stated) == [*names, "all"]
    assert stated["all"] == [f"hms-svc[{','.join(names)}]"]


def test_the_locked_requirements_have_every_extra(wheel: Path) -> None:
    locked = (ROOT / "requirements" / "run.txt").read_text()
    names = {canonicalize_name(each) for each in re.findall(r"^([\w.-]+)==", locked, re.MULTILINE)}
    assert {canonicalize_name(each.name) for each in requirements_of(wheel, ["all"])} <= names
