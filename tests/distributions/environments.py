"""Environments with a wheel of ours and only what pip would install with it; there is no network.

The requirements are links to those of this environment: what is not among the requirements
of the wheel, and of its extras, cannot be imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Literal
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client"
SECONDS = 120


def build_wheel(project: Path, into: Path) -> Path:
    """Build the wheel of a project as `make wheel` does, and return its path."""
    return build(project, "wheel", into)


def build(project: Path, target: Literal["wheel", "sdist"], into: Path) -> Path:
    """Build a distribution of a project as `make wheel` does, and return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=SECONDS)
    [built] = into.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


def names_in(wheel: Path) -> list[str]:
    with ZipFile(wheel) as opened:
        return opened.namelist()


def requirements_of(wheel: Path, extras: Iterable[str] = ()) -> list[Distribution]:
    """Return the distributions that pip installs with a wheel and these extras of it."""
    with ZipFile(wheel) as opened:
        [file] = [each for each in opened.namelist() if each.endswith(".dist-info/METADATA")]
        lines = opened.read(file).decode().splitlines()
    prefix = "Requires-Dist: "
    stated = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    found: dict[str, Distribution] = {}
    left = [(text, frozenset(extras)) for text in stated]
    seen: set[tuple[str, frozenset[str]]] = set()
    while left:
        text, wanted = left.pop()
        needed = Requirement(text)
        if (text, wanted) in seen or not _holds(needed, wanted):
            continue
        seen.add((text, wanted))
        name = canonicalize_name(needed.name)
        if name == "hms-svc":  # the extra `all` names the others
            left += [(each, frozenset(needed.extras)) for each in stated]
            continue
        found[name] = distribution(name)
        left += [(each, frozenset(needed.extras)) for each in found[name].requires or ()]
    return list(found.values())


def _holds(needed: Requirement, extras: frozenset[str]) -> bool:
    marker = needed.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


class Environment:
    """A virtual environment with one wheel of ours; its programs keep their data in `folder`."""

    def __init__(self, folder: Path, wheel: Path, *extras: str) -> None:
        self.folder = folder
        self._venv = folder / "venv"
        venv.create(self._venv, with_pip=False, symlinks=True)
        [packages] = self._venv.glob("lib/python*/site-packages")
        for each in requirements_of(wheel, extras):
            _link(packages, each)
        self.install(wheel)

    def install(self, wheel: Path) -> None:
        """Install a wheel without its requirements."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.program("python"))]
        self._run(*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)).check_returncode()

    def program(self, name: str) -> Path:
        return self._venv / "bin" / name

    def hms_svc(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the command line with these settings."""
        return self._run(str(self.program("hms-svc")), *words, **settings)

    def python(self, script: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a script with these settings."""
        return self._run(str(self.program("python")), "-P", "-c", script, **settings)

    def _run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        kept = {name: text for name, text in os.environ.items() if name in {"LANG", "TMPDIR"}}
        environment = {
            **kept,
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "HMS_SVC_CONFIG": "",
            "HMS_SVC_DATA_DIR": str(self.folder / "data"),
            **{f"HMS_SVC_{name.upper()}": text for name, text in settings.items()},
        }
        return subprocess.run(
            words,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )


def _link(packages: Path, found: Distribution) -> None:
    for path in found.files or ():
        if path.parts[0] == "..":  # a program
            continue
        link = packages / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(str(found.locate_file(path)))
