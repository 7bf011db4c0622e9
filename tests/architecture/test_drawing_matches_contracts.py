"""docs/architecture.md draws exactly the contracts that import-linter holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LAYER = re.compile(r'subgraph \w+\["(.*?)"\]\n(.*?)\n    end', re.DOTALL)
PACKAGE = re.compile(r'^ {8}\w+\["(.*?)"\]$', re.MULTILINE)
PACKAGE_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| `([\w.]+)`", re.MULTILINE)


class Layer(NamedTuple):
    """The packages of one layer, and whether they are independent of each other (one alone always is)."""

    packages: frozenset[str]
    independent: bool


def contracts() -> list[dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return found


def document() -> str:
    return (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def drawn_layers() -> list[Layer]:
    layers = []
    for title, body in LAYER.findall(document()):
        packages = frozenset(PACKAGE.findall(body))
        assert len(packages) == len(body.splitlines()), (
            f"layer {title!r} has lines that are no package"
        )
        layers.append(
            Layer(packages, len(packages) == 1 or title.endswith("independent of each other"))
        )
    return layers


def contract_layers() -> list[Layer]:
    (drawn,) = [each["layers"] for each in contracts() if each["id"] == "layers"]
    layers = []
    for layer in drawn:
        separator = ":" if ":" in layer else "|"
        packages = frozenset(name.strip(" ()") for name in layer.split(separator))
        layers.append(Layer(packages, len(packages) == 1 or separator == "|"))
    return layers


def test_the_layers_of_the_drawing_are_the_layers_of_the_contract_from_top_to_bottom() -> None:
    assert drawn_layers() == contract_layers()


def test_the_arrow_goes_through_every_layer_in_order() -> None:
    names = re.findall(r"subgraph (\w+)\[", document())
    assert f"    {' --> '.join(names)}\n" in document()


def test_the_table_of_packages_is_that_of_the_forbidden_imports() -> None:
    documented = {
        library: package
        for libraries, package in PACKAGE_ROW.findall(document())
        for library in re.findall(r"\w+", libraries)
    }
    held = {}
    for contract in contracts():
        if contract["type"] == "forbidden":
            for package in contract["forbidden_modules"]:
                held[package] = _home(contract, package)
    assert documented == held


def test_every_package_on_disk_has_its_package_in_the_drawing() -> None:
    drawn = {package for layer in drawn_layers() for package in layer.packages}
    found = {
        f"hms_svc.{path.stem}"
        for path in (ROOT / "hms_svc").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert found - {"hms_svc.__init__", "hms_svc.__main__"} <= drawn


def _home(contract: dict[str, Any], package: str) -> str:
    exempt = [line.split(" -> ") for line in contract.get("ignore_imports", [])]
    homes: set[str] = {source.removesuffix(".**") for source, target in exempt if target == package}
    (home,) = homes
    return home
