"""Mistakes planted in a service: which ones mypy finds, and which are refused at import."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from hms_svc.domain.errors import BadInput, BadSetting
from hms_svc.sdk.apps import check_injection

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "tests" / "data" / "permit_mistakes.py"
FOUND = re.compile(r"^\S*permit_mistakes\.py:(\d+): error: ", re.MULTILINE)


def test_mypy_finds_each_mistake_in_types_and_nothing_else(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-version=3.11"),
        *(f"--cache-dir={tmp_path}", "--follow-imports=silent", "--no-error-summary", str(FILE)),
    ]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT / "examples" / "permits")},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = FILE.read_text(encoding="utf-8").splitlines()
    planted = {number for number, line in enumerate(lines, start=1) if line.endswith("# mypy")}
    assert {int(number) for number in FOUND.findall(ran.stdout)} == planted, ran.stdout
    assert len(planted) >= 14


def test_what_types_do_not_show_is_refused_when_the_module_is_imported() -> None:
    mistakes = import_module("tests.data.permit_mistakes")
    for declare, said in mistakes.refused.items():
        with pytest.raises((BadInput, BadSetting, TypeError), match=re.escape(said)):
            declare()
    with pytest.raises(BadSetting, match=r"engine"):
        check_injection(mistakes.registry, ["permit_mistakes:registry"])
