"""What the Containerfile copies is all that the image needs: built, installed, run and extended.

The steps are those of the Containerfile, in an environment with the locked
requirements of the image and nothing else; there is no network.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "container"
SECONDS = 120
Instruction = tuple[str, list[str]]

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "city"
version = "1"
dependencies = [{dependencies}]
[tool.hatch.build.targets.wheel]
packages = ["city"]
"""
SERVICES = """\
from hms_svc import Registry

registry = Registry()


@registry.job("bench.paint")
async def paint(job) -> dict[str, str]:
    return {"colour": job.data["colour"]}
"""


def instructions(text: str) -> list[Instruction]:
    lines = re.sub(r"\\\n", " ", text).splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [(each[0], each[1:]) for each in words if each]


def stages() -> list[list[Instruction]]:
    found: list[list[Instruction]] = []
    for each in instructions((FOLDER / "Containerfile").read_text()):
        if each[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(each)
    return found


def in_the_readme() -> list[Instruction]:
    [block] = re.findall(
        r"```dockerfile\n(.*?)```", (ROOT / "docs/deploying.md").read_text(), re.DOTALL
    )
    return instructions(block)


def pip_lines(steps: list[Instruction]) -> list[list[str]]:
    """Return the words after `pip` of each command that runs it."""
    commands = [" ".join(words) for kind, words in steps if kind == "RUN"]
    parts = [part.split() for command in commands for part in command.split("&&")]
    return [part[1:] for part in parts if part[0] == "pip"]


def copy_context(folder: Path) -> None:
    """Copy what the first stage copies and the ignore file lets through."""
    allowed = (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
    for kind, words in stages()[0]:
        if kind != "COPY":
            continue
        *sources, target = [word for word in words if not word.startswith("--")]
        for source in sources:
            if f"!{source}" not in allowed:
                continue
            into = folder / target / (Path(source).name if target.endswith("/") else "")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, into, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, into)


def link_requirements(packages: Path, lock: Path) -> None:
    """Put the locked distributions of this environment, and no other, into another one."""
    normal = re.compile(r"[-_.]+")
    names = {
        normal.sub("-", name).lower()
        for name in re.findall(r"^([A-Za-z0-9_.-]+)==", lock.read_text(), re.MULTILINE)
    }
    for each in distributions():
        if normal.sub("-", each.name).lower() in names:
            link_distribution(packages, each)


def link_distribution(packages: Path, found: Distribution) -> None:
    tops = {path.parts[0] for path in found.files or () if path.parts[0] != ".."}
    for top in tops - {"__pycache__"}:
        link = packages / top
        if not link.exists():
            link.symlink_to(str(found.locate_file(top)))


class Image:
    """The environment of the image, without its Python and its system."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "src"
        self.venv = folder / "venv"
        self.home = folder / "home"
        self.home.mkdir()
        self.constraints = folder / "constraints.txt"
        kept = {name: value for name, value in os.environ.items() if name in ("LANG", "TMPDIR")}
        path = f"{self.venv / 'bin'}:/usr/bin:/bin"
        data = {"HMS_SVC_DATA_DIR": str(self.home), "HMS_SVC_CONFIG": ""}
        self.environment = {**kept, **data, "PATH": path, "HOME": str(self.home)}
        copy_context(self.source)
        venv.create(self.venv, with_pip=False, symlinks=True)
        [packages] = self.venv.glob("lib/python*/site-packages")
        link_requirements(packages, self.source / "requirements" / "run.txt")

    def pip(self, words: list[str], *, at: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run pip in the environment, without a network."""
        python = str(self.venv / "bin" / "python")
        pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
        offline = ["--no-index", "--no-build-isolation"] if words[0] == "install" else []
        return self._run([*pip, *words, *offline], at or self.source)

    def hms_svc(self, *words: str) -> str:
        """Run the program; return what it printed."""
        done = self._run([str(self.venv / "bin" / "hms-svc"), *words], self.home)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def job(self, *words: str) -> dict[str, Any]:
        """Enqueue one job, work it off; return what became of it."""
        job_id = json.loads(self.hms_svc("enqueue", *words, "--json"))["id"]
        self.hms_svc("serve", "--drain", "--no-http")
        shown: dict[str, Any] = json.loads(self.hms_svc("jobs", "show", job_id, "--json"))
        return shown

    def _run(self, words: list[str], at: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=at,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )


def write_service(folder: Path, dependencies: str) -> None:
    (folder / "city").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT.format(dependencies=dependencies))
    (folder / "city" / "__init__.py").write_text("")
    (folder / "city" / "services.py").write_text(SERVICES)


@pytest.mark.interop
def test_the_image_is_installed_from_what_it_copies_and_takes_a_service(tmp_path: Path) -> None:
    image = Image(tmp_path)
    [_, install, freeze] = pip_lines(stages()[0])
    done = image.pip(install)
    assert done.returncode == 0, done.stdout + done.stderr
    [samples] = image.venv.glob("lib/python*/site-packages/hms_svc/sample_jobs")
    job = image.job(str(samples / "pothole.json"))
    assert (job["state"], bool(job["case_id"])) == ("completed", True)

    target = freeze.index(">")
    frozen = image.pip(freeze[:target])
    assert frozen.returncode == 0, frozen.stderr
    image.constraints.write_text(frozen.stdout)
    image.environment["PIP_CONSTRAINT"] = str(image.constraints)
    write_service(tmp_path / "city", '"hms-svc", "msgspec<0.1"')
    [words] = pip_lines(in_the_readme())
    extend = [word.replace("/src", str(tmp_path / "city")) for word in words]
    refused = image.pip(extend, at=tmp_path)
    assert "depends on msgspec<0.1" in refused.stdout
    assert refused.returncode != 0

    shutil.rmtree(tmp_path / "city")
    write_service(tmp_path / "city", '"hms-svc", "msgspec"')
    taken = image.pip(extend, at=tmp_path)
    assert taken.returncode == 0, taken.stdout + taken.stderr
    [(_, [setting])] = [each for each in in_the_readme() if each[0] == "ENV"]
    name, _, value = setting.partition("=")
    image.environment[name] = value
    file = tmp_path / "bench.json"
    file.write_text('{"type": "bench.paint", "data": {"colour": "green"}}')
    job = image.job(str(file))
    assert (job["state"], job["result"]) == ("completed", {"colour": "green"})


def test_the_image_keeps_pip_and_the_versions_that_it_was_made_with() -> None:
    build, final = stages()
    assert not any("uninstall" in words for words in pip_lines(build))
    [_, _, freeze] = pip_lines(build)
    [settings] = [words for kind, words in final if kind == "ENV"]
    assert f"PIP_CONSTRAINT={freeze[-1]}" in settings


@pytest.mark.parametrize("steps", [stages()[1], in_the_readme()], ids=["image", "extended"])
def test_an_image_runs_as_its_own_user(steps: list[Instruction]) -> None:
    assert [words for kind, words in steps if kind == "USER"][-1] == ["10001:10001"]
