"""The page on testing: its examples run under a plain pytest, with the plugin of the installation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.page_examples import write_examples

ROOT = Path(__file__).resolve().parents[2]
TOML = re.compile(r"^```toml\n# pyproject.toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("HMS_SVC", "PYTEST"))
}


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    write_examples("docs/testing.md", tmp_path)
    [toml] = TOML.findall((ROOT / "docs/testing.md").read_text(encoding="utf-8"))
    (tmp_path / "pyproject.toml").write_text(toml, encoding="utf-8")
    return tmp_path


def test_the_tests_of_the_page_pass(page: Path) -> None:
    ran = run_pytest(page, "-q", "--strict-config")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "6 passed" in ran.stdout


def test_without_an_application_the_fixture_says_what_is_missing(page: Path) -> None:
    (page / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    ran = run_pytest(page, "-q", "-k", "granted")
    assert ran.returncode == 1
    assert "the fixture `bench` needs an application: set hms_svc_app" in ran.stdout


def test_the_plugin_imports_nothing_that_a_run_without_it_does_not_need(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n\ndef test_other():\n"
        "    ours = sorted(name for name in sys.modules if name.startswith('hms_svc'))\n"
        "    assert ours == ['hms_svc', 'hms_svc.testing', 'hms_svc.testing.pytest_plugin']\n"
        "    assert 'pydantic' not in sys.modules\n"
    )
    ran = run_pytest(tmp_path, "-q", "-p", "no:hypothesispytest", "-p", "no:schemathesis")
    assert ran.returncode == 0, ran.stdout
