"""Modules of the current folder: found where an app needs it, behind all others, and else never."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import environment

HMS_SVC = str(Path(sys.executable).parent / "hms-svc")
TRAP = (
    "import os\nopen(os.environ['HMS_SVC_TEST_FOLDER'] + f'/sprung-{os.getpid()}', 'w').close()\n"
)
OWN_APP = (
    "import json, helper\nfrom hms_svc import Registry\n"
    "app = Registry()\n"
    "@app.job('own.job')\ndef own(job):\n    return helper.WORDS\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with modules in it that are named as those that a program imports."""
    here = tmp_path / "here"
    here.mkdir()
    for name in ("msgspec", "sqlalchemy", "typer", "json", "uvloop"):
        (here / f"{name}.py").write_text(TRAP)
    return here


def run(folder: Path, *arguments: str, stdin: str = "") -> str:
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    ours = {**environment(folder.parent / "data"), "HMS_SVC_TEST_FOLDER": str(folder.parent)}
    done = subprocess.run(
        [HMS_SVC, *arguments],
        cwd=folder,
        env={**kept, **ours},
        input=stdin,
        text=True,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.parent.glob("sprung-*")) == []
    return done.stdout


def test_nothing_of_the_current_folder_is_run(folder: Path) -> None:
    run(folder, "status")
    run(folder, "serve", "--drain", "--http", "127.0.0.1:0")


def test_an_app_of_the_current_folder_is_found_behind_all_else(folder: Path) -> None:
    (folder / "own_app.py").write_text(OWN_APP)
    (folder / "helper.py").write_text("WORDS = 'from here'\n")
    run(folder, "enqueue", "-", "--no-check", stdin='{"type": "own.job", "data": 1}')
    run(folder, "serve", "--drain", "--app", "own_app:app")
    [job] = [json.loads(line) for line in run(folder, "jobs", "list", "--json").splitlines()]
    assert job["state"] == "completed"
    shown = json.loads(run(folder, "jobs", "show", job["id"], "--json"))
    assert shown["result"] == "from here"


def test_an_app_that_is_installed_brings_nothing_of_the_current_folder(folder: Path) -> None:
    (folder / "sample_helper.py").write_text(TRAP)
    run(folder, "serve", "--drain", "--app", "hms_svc.demo.services:app")
