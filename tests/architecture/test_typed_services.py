"""What a type checker says about services: mypy, strict, on some without and some with mistakes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from tests.support.page_examples import write_examples

pytestmark = pytest.mark.interop
ROOT: Final = Path(__file__).resolve().parents[2]
DATA: Final = ROOT / "tests" / "data"
WITHOUT_MISTAKES: Final = DATA / "typed_service.py"
PLANTED: Final = {"typed_mistakes.py": ("# mistake", 20), "permit_mistakes.py": ("# mypy", 14)}
"""Files of `DATA`: the end of each line with a mistake, and how many there are at least."""
FOUND: Final = re.compile(r"^[^:]*?(\w+\.py):(\d+): error: (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, list[str]]]:
    """What mypy reports, by file and line, as a user who has hms-svc installed sees it: one run for all files."""
    folder = tmp_path_factory.mktemp("mypy")
    files = [WITHOUT_MISTAKES, *(DATA / name for name in PLANTED)]
    examples = write_examples("docs/handles.md", folder)
    assert examples
    path = (DATA, folder, ROOT / "examples" / "permits")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
            *("--python-version=3.11", f"--cache-dir={folder}/cache", "--follow-imports=silent"),
            *("--no-error-summary", *map(str, (*files, *examples))),
        ],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[str, dict[int, list[str]]] = defaultdict(dict)
    for name, line, message in FOUND.findall(done.stdout):
        found[name].setdefault(int(line), []).append(message)
    return found


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_mistake_is_found_and_nothing_else(
    errors: dict[str, dict[int, list[str]]], name: str
) -> None:
    end, at_least = PLANTED[name]
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    planted = {number for number, line in enumerate(lines, start=1) if line.endswith(end)}
    assert len(planted) >= at_least
    assert errors[name].keys() == planted, errors[name]


def test_nothing_else_has_errors(errors: dict[str, dict[int, list[str]]]) -> None:
    assert errors.keys() <= PLANTED.keys(), errors
