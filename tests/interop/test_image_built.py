"""The image, built by buildah from the Containerfile as it stands, and run as its user.

No registry of images is asked: the base is made of Debian's packages, and the
locked requirements are downloaded before and mounted, as there is no network in the build.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from tests.architecture.test_image import ROOT, in_the_readme, write_service
from tests.interop.parts import missing, part

pytestmark = [pytest.mark.interop, pytest.mark.timeout(1800)]
RELEASE: Final = "bookworm"
BASE: Final = f"docker.io/library/python:3.11-slim-{RELEASE}"
PACKAGES: Final = "python3,python3-venv,ca-certificates,passwd"
SECONDS: Final = 900


class Builder:
    """buildah with a store of its own; nothing of it is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self._options = [
            "--root",
            str(folder / "store"),
            "--runroot",
            str(folder / "run"),
            "--storage-driver",
            "vfs",
        ]

    def run(self, *words: str, at: Path = ROOT) -> str:
        """Run one command of buildah; return what it printed."""
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        return _run([part("buildah"), *self._options, *words], at, environment)

    def build(self, name: str, *words: str, at: Path = ROOT) -> None:
        """Build an image, with the wheels where its base looks for them."""
        wheels = f"{self.wheels}:/wheels:ro"
        self.run("build", "--pull-never", "--volume", wheels, "--tag", name, *words, at=at)

    def inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("inspect", "--type", "image", name))
        return found


def _run(words: list[str], at: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        words,
        cwd=at,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    """A builder that has the base image and the locked wheels."""
    if os.geteuid() != 0:
        missing("debootstrap and buildah's chroot need root")
    with TemporaryDirectory(dir="/var/tmp") as folder:
        builder = Builder(Path(folder))
        make_base(builder)
        yield builder
        builder.run("rm", "--all")
        builder.run("rmi", "--all", "--force")


def make_base(builder: Builder) -> None:
    """Make the image that stands for Python's, and download what the image locks, for every marker."""
    base = builder.folder / "base"
    _run(
        [part("debootstrap"), "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(base)],
        ROOT,
    )
    (base / "usr/bin/python").symlink_to("python3")
    lock = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--require-hashes",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--python-version",
        "3.11",
        "-r",
    ]
    every = builder.folder / "every.txt"
    text = (ROOT / "requirements/run.txt").read_text()
    every.write_text(re.sub(r" ; [^\\\n]*", "", text))
    _run([*lock, str(every), "-d", str(builder.wheels)], ROOT)
    container = builder.run("from", "scratch").strip()
    builder.run("add", "-q", container, str(base), "/")
    offline = ["--env", "PIP_NO_INDEX=1", "--env", "PIP_FIND_LINKS=/wheels"]
    builder.run("config", *offline, container)
    builder.run("commit", "-q", container, BASE)
    builder.run("rm", container)


def work_in(builder: Builder, image: str, script: str) -> str:
    """Run a script in a container of an image, as the user that the image names."""
    user = builder.inspect(image)["OCIv1"]["config"]["User"]
    container = builder.run("from", "--pull-never", image).strip()
    return builder.run("run", "--user", user, container, "--", "sh", "-ec", script)


@pytest.fixture(scope="module")
def image(builder: Builder) -> str:
    """The image of the Containerfile."""
    builder.build("hms-svc", "-f", "deploy/container/Containerfile", ".")
    return "hms-svc"


def test_the_image_runs_the_sample_as_its_user(builder: Builder, image: str) -> None:
    said = work_in(
        builder,
        image,
        """
        id -u; pwd
        hms-svc enqueue --json /opt/hms-svc/lib/python3*/site-packages/hms_svc/sample_jobs/pothole.json
        hms-svc serve --drain --no-http >/dev/null 2>&1
        hms-svc jobs list --json
        """,
    )
    user, folder, *rest = said.splitlines()
    assert (user, folder) == ("10001", "/var/lib/hms-svc")
    assert {json.loads(line)["state"] for line in rest[1:]} == {"completed"}, said
    config = builder.inspect(image)["OCIv1"]["config"]
    assert config["Entrypoint"] == ["hms-svc"]
    print(builder.run("images", image))


def test_a_service_of_ones_own_is_put_upon_it(builder: Builder, image: str, tmp_path: Path) -> None:
    write_service(tmp_path / "city", '"hms-svc", "msgspec"')
    lines = [f"{kind} {' '.join(words)}" for kind, words in in_the_readme()]
    (tmp_path / "city" / "Containerfile").write_text("\n".join(lines) + "\n")
    builder.build("city", "-f", "Containerfile", ".", at=tmp_path / "city")
    said = work_in(
        builder,
        "city",
        """
        echo '{"type":"bench.paint","data":{"colour":"green"}}' > /tmp/bench.json
        hms-svc enqueue --json /tmp/bench.json
        hms-svc serve --drain --no-http >/dev/null 2>&1
        hms-svc jobs list --json
        """,
    )
    _, *jobs = said.splitlines()
    assert [json.loads(line)["state"] for line in jobs] == ["completed"], said
