"""The OpenAPI document with linters, and with clients that are generated from it, in Python and TypeScript."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.chaos.site import Site
from tests.interop.conftest import is_ready
from tests.interop.parts import GENERATOR, NODE, part, run_node
from tests.support.proxy import LOOPBACK, free_port

pytestmark = pytest.mark.interop
SESSION = Path(__file__).parents[1] / "data/openapi_session.py"
SCOPES = "produce,view,operate"
SEEN: dict[str, Any] = {
    "location": True,
    "replayed": "true",
    "again": True,
    "batch": ["drill.run", "nobody.serves.this"],
    "ended": True,
    "state": "completed",
    "listed": True,
    "case": True,
    "why": True,
    "cancelled": [1, "cancelled"],
    "retried": 1,
    "event": False,
    "wrong": [422, ["data.lat"]],
    "absent": [404, "urn:hms-svc:problem:unknown-id"],
    "unknown": 401,
    "health": ["alive\n", "ready\n"],
}
"""What each client sees in its session."""


class Served(NamedTuple):
    """A service with a token, and its document in a file."""

    url: str
    token: str
    document: Path


@pytest.fixture
def served(site: Site, tmp_path: Path) -> Served:
    """A service that has started."""
    address = f"{LOOPBACK}:{free_port()}"
    create = [
        sys.executable,
        "-m",
        "hms_svc",
        "tokens",
        "create",
        "client",
        "--scope",
        SCOPES,
        "--json",
    ]
    made = subprocess.run(
        create, env=site.environment(), cwd=site.folder, capture_output=True, check=True
    )
    token = json.loads(made.stdout)["token"]
    service = site.serve(http=address)
    service.wait_until("it is ready", lambda: is_ready(address))
    url = f"http://{address}"
    asked = urllib.request.Request(
        f"{url}/openapi.json", headers={"authorization": f"Bearer {token}"}
    )
    document = tmp_path / "openapi.json"
    with urllib.request.urlopen(asked, timeout=30) as answer:
        document.write_bytes(answer.read())
    return Served(url, token, document)


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_linters_find_nothing_in_the_document(served: Served) -> None:
    places = ("--config", str(NODE / "redocly.yaml"), "--format", "json")
    found = run_node("node_modules/.bin/redocly", "lint", str(served.document), *places)
    assert json.loads(found)["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, found
    rules = ("--ruleset", str(NODE / "spectral.yaml"), "--fail-severity", "hint")
    run_node("node_modules/.bin/spectral", "lint", str(served.document), *rules)


def test_a_generated_python_client_does_the_whole_session(served: Served, tmp_path: Path) -> None:
    """Of the bodies of /envelopes it knows one event and bytes: its generator takes no others."""
    told = run(
        part("openapi-python-client"),
        "generate",
        "--path",
        served.document,
        "--output-path",
        "hms_client",
        "--meta",
        "none",
        cwd=tmp_path,
    )
    warnings = [line for line in told.stderr.splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert set(warnings) == {"WARNING parsing POST /envelopes within envelopes."}, told
    python = GENERATOR / "python"
    (tmp_path / SESSION.name).write_bytes(SESSION.read_bytes())
    run(
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        python,
        "--cache-dir",
        tmp_path / "cache",
        SESSION.name,
        cwd=tmp_path,
    )
    seen = run(python, "-W", "error", SESSION.name, served.url, served.token, cwd=tmp_path)
    assert json.loads(seen.stdout) == SEEN


def test_a_generated_typescript_client_does_the_whole_session(
    served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "client"
    folder.mkdir()
    run_node(
        "node_modules/.bin/openapi-typescript",
        str(served.document),
        "--output",
        str(folder / "schema.d.ts"),
        "--default-non-nullable",
        "false",
    )
    session = folder / "openapi_session.ts"
    session.write_bytes((NODE / session.name).read_bytes())
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    run_node(
        "node_modules/.bin/tsc",
        "--strict",
        "--noUncheckedIndexedAccess",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--types",
        "node",
        "--outDir",
        str(folder),
        str(session),
    )
    told = run_node(str(session.with_suffix(".js")), served.url, served.token)
    assert json.loads(told) == {**SEEN, "planned": True}
