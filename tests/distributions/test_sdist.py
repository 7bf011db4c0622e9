"""The source distribution: it has what its README links to, and both wheels can be built from it."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from tests.distributions.environments import ROOT, build, build_wheel, names_in

LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the source distribution unpacks to."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(ROOT, "sdist", folder)) as archive:
        archive.extractall(folder, filter="data")
    [unpacked] = (each for each in folder.iterdir() if each.is_dir())
    return unpacked


def test_it_has_every_file_that_the_readme_links_to(unpacked: Path) -> None:
    linked = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert "CHANGELOG.md" in linked
    assert not [each for each in linked if not (unpacked / each).exists()]


def test_both_wheels_can_be_built_from_it(
    unpacked: Path, wheel: Path, client_wheel: Path, tmp_path: Path
) -> None:
    for project, direct in ((unpacked, wheel), (unpacked / "client", client_wheel)):
        rebuilt = build_wheel(project, tmp_path / project.name)
        assert sorted(names_in(rebuilt)) == sorted(names_in(direct))
