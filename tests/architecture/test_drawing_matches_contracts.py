"""docs/architecture.md draws exactly the contracts that import-linter holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
STOREY = re.compile(r'subgraph \w+\["(.*?)"\]\n(.*?)\n    end', re.DOTALL)
ROOM = re.compile(r'^ {8}\w+\["(.*?)"\]$', re.MULTILINE)
PACKAGE_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| `([\w.]+)`", re.MULTILINE)


class Storey(NamedTuple):
    """The rooms of one storey, and whether they are blind to each other (one alone always is)."""

    rooms: frozenset[str]
    blind: bool


def contracts() -> list[dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return found


def document() -> str:
    return (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def drawn_storeys() -> list[Storey]:
    storeys = []
    for title, body in STOREY.findall(document()):
        rooms = frozenset(ROOM.findall(body))
        assert len(rooms) == len(body.splitlines()), f"storey {title!r} has lines that are no room"
        storeys.append(Storey(rooms, len(rooms) == 1 or title.startswith("blind to each other")))
    return storeys


def contract_storeys() -> list[Storey]:
    (layers,) = [each["layers"] for each in contracts() if each["type"] == "layers"]
    storeys = []
    for layer in layers:
        separator = ":" if ":" in layer else "|"
        rooms = frozenset(name.strip(" ()") for name in layer.split(separator))
        storeys.append(Storey(rooms, len(rooms) == 1 or separator == "|"))
    return storeys


def test_the_storeys_of_the_drawing_are_the_layers_of_the_contract_from_top_to_bottom() -> None:
    assert drawn_storeys() == contract_storeys()


def test_the_arrow_goes_through_every_storey_in_order() -> None:
    names = re.findall(r"subgraph (\w+)\[", document())
    assert f"    {' --> '.join(names)}\n" in document()


def test_the_table_of_packages_is_that_of_the_forbidden_imports() -> None:
    told = {
        package: room
        for packages, room in PACKAGE_ROW.findall(document())
        for package in re.findall(r"\w+", packages)
    }
    held = {}
    for contract in contracts():
        if contract["type"] == "forbidden":
            for package in contract["forbidden_modules"]:
                held[package] = _home(contract, package)
    assert told == held


def test_every_package_on_disk_has_its_room_in_the_drawing() -> None:
    drawn = {room for storey in drawn_storeys() for room in storey.rooms}
    found = {
        f"hms_svc.{path.stem}"
        for path in (ROOT / "hms_svc").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert found - {"hms_svc.__init__", "hms_svc.__main__"} <= drawn


def _home(contract: dict[str, Any], package: str) -> str:
    exempt = [line.split(" -> ") for line in contract.get("ignore_imports", [])]
    homes = {source.removesuffix(".**") for source, target in exempt if target == package}
    outside = {"hms_svc", "tui"} - set(contract["source_modules"])
    (home,) = homes or outside
    return home
