"""Both wheels, installed by pip into empty environments with what it downloads from the index."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.distributions.environments import ROOT

pytestmark = [pytest.mark.interop, pytest.mark.timeout(1200)]
SECONDS = 600
SAMPLE = str(ROOT / "sample_jobs" / "pothole.json")


class Empty:
    """An environment with pip and what it installs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True, symlinks=True)

    def run(self, program: str, *words: str) -> str:
        """Run a program of the environment, and return what it prints."""
        ours = {name: text for name, text in os.environ.items() if not name.startswith("HMS_SVC")}
        done = subprocess.run(
            [str(self.folder / "venv" / "bin" / program), *words],
            cwd=self.folder,
            text=True,
            env={**ours, "HMS_SVC_CONFIG": "", "HMS_SVC_DATA_DIR": str(self.folder / "data")},
            capture_output=True,
            check=False,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, *words: str) -> None:
        self.run("python", "-m", "pip", "install", "--disable-pip-version-check", "-q", *words)


def test_the_wheel_from_an_empty_environment_to_the_case(tmp_path: Path, wheel: Path) -> None:
    empty = Empty(tmp_path)
    empty.install(str(wheel))
    empty.run("python", "-m", "pip", "check")
    enqueued = empty.run("hms-svc", "enqueue", SAMPLE)
    empty.run("hms-svc", "serve", "--drain")
    assert "completed" in empty.run("hms-svc", "jobs", "show", enqueued.split()[0])
    assert "pothole" in empty.run("hms-svc", "cases", "list")


def test_every_extra_can_be_installed_with_the_wheel(tmp_path: Path, wheel: Path) -> None:
    empty = Empty(tmp_path)
    empty.install(f"hms-svc[all] @ {wheel.as_uri()}")
    empty.run("python", "-m", "pip", "check")
    assert "extras: installed: postgres, otel, oidc, web" in empty.run("hms-svc", "doctor")


def test_the_client_from_an_empty_environment_to_a_queued_job(
    tmp_path: Path, client_wheel: Path
) -> None:
    empty = Empty(tmp_path)
    empty.install(str(client_wheel))
    empty.run("python", "-m", "pip", "check")
    script = "from hms_svc import Job; print(Job('pothole.report', {}).enqueue())"
    assert empty.run("python", "-c", script) == "queued\n"


def test_the_wheel_can_be_built_from_the_source_distribution(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-d"]
    subprocess.run([*build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    [source] = tmp_path.glob("*.tar.gz")
    again = tmp_path / "again"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps"]
    subprocess.run(
        [*pip, "--no-build-isolation", "-w", str(again), str(source)], check=True, timeout=SECONDS
    )
    [first], [second] = tmp_path.glob("*.whl"), again.glob("*.whl")
    assert first.stat().st_size == second.stat().st_size
