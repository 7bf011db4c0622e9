"""What the project says about itself: its public names, and what its workflow runs."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import yaml

import hms_svc
from hms_svc.domain import errors

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `(hms_svc[\w.]*)` \| (.*) \|$", re.MULTILINE)


def documented() -> dict[str, list[str]]:
    text = (ROOT / "docs/public_api.md").read_text(encoding="utf-8")
    return {module: re.findall(r"`(\w+)`", names) for module, names in ROW.findall(text)}


def test_the_documented_names_are_the_public_ones() -> None:
    for module, names in documented().items():
        imported = resolve_name(module)
        assert names == list(imported.__all__)
        assert all(hasattr(imported, name) for name in names)


def test_the_documented_modules_are_the_public_ones() -> None:
    modules = {"dao", "gov", "jobs", "sql"}
    expected = {"hms_svc", "hms_svc.aio"}
    expected |= {f"{parent}.{name}" for parent in expected for name in modules}
    assert documented().keys() == expected | {"hms_svc.testing"}


@pytest.mark.parametrize("module", ["hms_svc", "hms_svc.aio"])
def test_calls_without_a_job_are_those_with_one(module: str) -> None:
    for name in ("dao", "gov"):
        part = resolve_name(f"{module}.{name}")
        outside = {each for each in dir(part.outside) if not each.startswith("_")}
        assert outside == set(part.__all__) - {"outside", "transaction"}  # that belongs to a job


def test_the_drawing_of_the_errors_is_that_of_the_classes() -> None:
    assert errors.__doc__
    drawn: dict[str, str] = {}
    parents = ["HmsError"]
    for line in errors.__doc__.split("\n\n")[1].splitlines()[1:]:
        found = re.match(r"([│├└─ ]+)(\w+)", line)
        assert found, line
        depth = len(found[1]) // 4
        drawn[found[2]] = parents[depth - 1]
        parents[depth:] = [found[2]]
    classes = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert drawn == {
        name: value.__bases__[0].__name__
        for name, value in classes.items()
        if issubclass(value, errors.HmsError) and value is not errors.HmsError
    }


def test_pages_name_public_errors_only() -> None:
    """An error that a page names can be imported from `hms_svc`."""
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        named = set(re.findall(r"`(\w+)`", page.read_text(encoding="utf-8")))
        assert named & defined <= set(hms_svc.__all__), page


def test_the_version_is_that_of_the_metadata() -> None:
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
