"""docs/architecture.md names files and folders that exist, and every package."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILE = re.compile(r"`([\w./]+/[\w.]+\.(?:py|lua|sql|toml|md))`")
TREE = re.compile(r"```text\n(.*?)```", re.DOTALL)


def folders_and_files() -> list[Path]:
    """The paths of the tree, whose folders are indented by two spaces for each level."""
    found = TREE.search(DOCUMENT)
    assert found is not None, "the page has no tree"
    above: list[str] = []
    paths = []
    for line in found[1].splitlines():
        level = (len(line) - len(line.lstrip())) // 2
        above[level:] = [line.split()[0]]
        paths.append(ROOT.joinpath(*above))
    return paths


@pytest.mark.parametrize("name", sorted(set(FILE.findall(DOCUMENT))))
def test_every_file_that_the_page_names_exists(name: str) -> None:
    assert any((base / name).is_file() for base in (ROOT, ROOT / "hms_svc"))


def test_every_path_of_the_tree_exists() -> None:
    assert [path for path in folders_and_files() if not path.exists()] == []


def test_the_tree_has_every_folder_of_tests() -> None:
    folders = {path for path in (ROOT / "tests").iterdir() if any(path.glob("*.py"))}
    assert folders
    assert folders - set(folders_and_files()) == set()


def test_no_two_folders_are_described_alike() -> None:
    found = TREE.search(DOCUMENT)
    assert found is not None
    texts = Counter(
        line.split(maxsplit=1)[1] for line in found[1].splitlines() if "  " in line.strip()
    )
    shared = {"the HTTP API"}  # the package, and its tests
    assert {text for text, number in texts.items() if number > 1} <= shared


def test_the_tree_has_every_package() -> None:
    packages = {path.parent for path in (ROOT / "hms_svc").glob("*/__init__.py")}
    assert len(packages) > 10
    assert packages - set(folders_and_files()) == set()
