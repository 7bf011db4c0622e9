"""Which Pythons the metadata names, and how `make` and continuous integration find them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def found(tmp_path: Path, *wanted: str) -> str:
    path = f"{tmp_path / 'shims'}:{tmp_path / 'bin'}:{os.environ['PATH']}"
    command = [str(ROOT / "tools" / "find_python.sh"), *wanted]
    done = subprocess.run(
        command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (int(not done.stdout), "")
    return done.stdout.strip()


def test_the_oldest_python_that_is_named_is_the_oldest_that_is_required() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert project["requires-python"] == f">={versions[0]}"
    assert versions == sorted(versions, key=lambda each: int(each.removeprefix("3.")))


def test_a_python_that_does_not_start_is_passed_over(tmp_path: Path) -> None:
    works = f'exec {sys.executable} "$@"'
    program(tmp_path / "shims" / "python3.99", "exit 127")
    assert found(tmp_path, "3.99") == ""
    program(tmp_path / "bin" / "python3.99", works)
    assert found(tmp_path, "3.99") == str(tmp_path / "bin" / "python3.99")
    assert found(tmp_path, "nothing", "python3.99") == str(tmp_path / "bin" / "python3.99")


def test_what_pyenv_has_beside_its_shims_is_found(tmp_path: Path) -> None:
    program(tmp_path / "shims" / "python3.98", "exit 127")
    program(tmp_path / "shims" / "pyenv", f'[ "$*" = "prefix 3.98" ] && echo {tmp_path / "kept"}')
    assert found(tmp_path, "3.98") == ""
    program(tmp_path / "kept" / "bin" / "python3", f'exec {sys.executable} "$@"')
    assert found(tmp_path, "3.98") == str(tmp_path / "kept" / "bin" / "python3")
