"""What the project says about itself: its public names, and what its workflow runs."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `(hms_svc[\w.]*)` \| (.*) \|$", re.MULTILINE)


def documented() -> dict[str, list[str]]:
    text = (ROOT / "docs/public_api.md").read_text(encoding="utf-8")
    return {module: re.findall(r"`(\w+)`", names) for module, names in ROW.findall(text)}


@pytest.mark.parametrize("module", ["hms_svc", "hms_svc.aio"])
def test_the_documented_names_are_the_public_ones(module: str) -> None:
    imported = import_module(module)
    assert documented()[module] == list(imported.__all__)
    assert all(hasattr(imported, name) for name in imported.__all__)


def test_the_version_is_that_of_the_metadata() -> None:
    import hms_svc

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert hms_svc.__version__ == project["version"]


def workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    return found


def test_the_workflow_runs_targets_that_exist() -> None:
    steps = [step for job in workflow()["jobs"].values() for step in job["steps"]]
    commands = "\n".join(step.get("run", "") for step in steps)
    targets = set(re.findall(r"^make (\w+)", commands, re.MULTILINE))
    assert targets == {"lint", "docs", "test", "coverage", "interop", "wheel", "distributions"}
    for target in targets:
        done = subprocess.run(
            ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_workflow_tests_every_python_that_the_metadata_names() -> None:
    matrix = workflow()["jobs"]["test"]["strategy"]["matrix"]
    named = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(named) <= set(matrix["python"])
