"""Parts that others wrote: where they are, and what becomes of a test without them."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from tests.support.redis_server import REQUIRED_VARIABLE

NODE: Final = Path(__file__).with_name("node")
GENERATOR: Final = Path(__file__).parents[2] / ".interop/generator/bin"
_PLACES: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", str(GENERATOR)])


def part(command: str) -> str:
    """Return the path of a command; without it the test skips, or fails where servers are required."""
    found = shutil.which(command, path=_PLACES)
    if found is None:
        missing(
            f"{command} is not here: `make interop` installs it as root or with sudo, and else names its package"
        )
    return found


def python_part(module: str) -> Any:
    """Return a module of the group `interop`; without it the test skips, or fails where servers are required.

    Types are checked where the group is not installed, hence the name instead of an import.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        missing(f"the module {module} is not here: `make interop` installs it")


def run_node(script: str, *arguments: str, seconds: float = 120) -> str:
    """Run a script of the folder `node`, and return what it prints. Its errors fail the test."""
    if not (NODE / "node_modules").is_dir():
        missing("the npm packages are not here: `make interop` installs them")
    done = subprocess.run(
        [part("node"), script, *arguments],
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
    return done.stdout


def missing(reason: str) -> NoReturn:
    """Skip the test with its reason, or fail it where servers are required."""
    if os.environ.get(REQUIRED_VARIABLE):
        pytest.fail(reason)
    pytest.skip(reason)
