"""The command line in this process, on the test's own data directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hms_svc.cli.app import make_app
from tests.support.once import made_once

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_jobs"


class Answer:
    """The output and the exit code of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every line of standard output, as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self) -> dict[str, Any]:
        """The only line of standard output, as JSON."""
        (only,) = self.rows
        return only


Cli = Callable[..., Answer]
City = tuple[Cli, Path]
"""The command line on a data directory, and that directory."""


def environment(data_dir: Path, actor: str = "tester") -> dict[str, str]:
    """Return the environment of a test: its own data directory, and no configuration file."""
    return {"HMS_SVC_DATA_DIR": str(data_dir), "HMS_SVC_CONFIG": "", "HMS_SVC_ACTOR": actor}


def make_cli(data_dir: Path, actor: str = "tester", **more: str) -> Cli:
    """Return a function by which the actor runs commands on a data directory; `more` are other variables."""

    def run(*arguments: object, stdin: str | bytes = "", code: int = 0) -> Answer:
        result = CliRunner().invoke(
            make_app(),
            [str(each) for each in arguments],
            input=stdin,
            env={**environment(data_dir, actor), **more},
        )
        answer = Answer(result.exit_code, result.stdout, result.stderr)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert answer.code == code, f"exit {answer.code}\n{answer.out}\n{answer.err}"
        return answer

    return run


def find(cli: Cli, where: str) -> dict[str, Any]:
    """Return the only job that a filter matches."""
    return cli("jobs", "list", "--where", where, "--json").row


def drain(data_dir: Path) -> None:
    """Run one worker process until nothing is left to do."""
    subprocess.run(
        [sys.executable, "-m", "hms_svc", "serve", "--drain", "--no-http"],
        env={**os.environ, **environment(data_dir), "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
        capture_output=True,
    )


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command line on an empty data directory."""
    return make_cli(tmp_path / "data")


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    """A data directory in which the sample jobs have run, and its command line."""
    folder = tmp_path_factory.mktemp("city") / "data"
    shutil.copytree(made_once(tmp_path_factory, "worked-off", _work_off), folder)
    return make_cli(folder), folder


def _work_off(folder: Path) -> None:
    run = make_cli(folder)
    run("enqueue", SAMPLES / "pothole.json")
    drain(folder)
    for name in ("identity", "duplicate", "denied", "held"):
        run("enqueue", SAMPLES / f"{name}.json")
    run("enqueue", "--no-check", SAMPLES / "payload.json")
    run("enqueue", "--raw", "--type", "pothole.report", SAMPLES / "malformed.txt", code=3)
    drain(folder)
