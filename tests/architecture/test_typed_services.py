"""What a type checker says about services: mypy, strict, on one without and one with mistakes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.page_examples import write_examples

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
FOUND = re.compile(r"^[^:]*?(\w+\.py):(\d+): error: (.*)$", re.MULTILINE)


def errors_of(file: Path, cache: Path) -> dict[int, list[str]]:
    """Return what mypy reports about a file, by line, as a user who has hms-svc installed sees it."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
            *("--python-version=3.11", f"--cache-dir={cache}", "--follow-imports=silent"),
            *("--no-error-summary", str(file)),
        ],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(file.parent)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[int, list[str]] = {}
    for name, line, message in FOUND.findall(done.stdout):
        assert name == file.name, done.stdout
        found.setdefault(int(line), []).append(message)
    return found


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def test_a_service_without_mistakes_has_no_errors(cache: Path) -> None:
    assert errors_of(DATA / "typed_service.py", cache) == {}


def test_the_examples_of_the_page_have_no_errors(cache: Path, tmp_path: Path) -> None:
    for file in write_examples("docs/handles.md", tmp_path):
        assert errors_of(file, cache) == {}, file


def test_each_planted_mistake_is_found_and_nothing_else(cache: Path) -> None:
    lines = (DATA / "typed_mistakes.py").read_text(encoding="utf-8").splitlines()
    planted = {number for number, line in enumerate(lines, start=1) if line.endswith("# mistake")}
    found = errors_of(DATA / "typed_mistakes.py", cache)
    assert len(planted) > 20
    assert found.keys() == planted, found
