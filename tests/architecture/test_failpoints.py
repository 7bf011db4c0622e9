"""Failpoints cost one comparison while nothing is armed, and each has its place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from hms_svc.domain import failpoints

SOURCE = Path(failpoints.__file__).parents[1]


def guarded_calls(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Return each place that is reached, and whether its call stands alone under the comparison."""
    guarded: set[ast.Call] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "failpoints.armed is not None":
            guarded |= {
                statement.value
                for statement in node.body
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
            }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("failpoints.reached"):
            [place] = node.args
            assert isinstance(place, ast.Constant)
            yield str(place.value), node in guarded


def test_every_place_is_reached_under_the_comparison_and_no_other_is() -> None:
    found = [
        call
        for path in SOURCE.rglob("*.py")
        for call in guarded_calls(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert {place for place, _ in found} == failpoints.PLACES
    assert [place for place, is_guarded in found if not is_guarded] == []


def test_nothing_is_armed_unless_a_test_does() -> None:
    assert failpoints.armed is None
    arming = [path for path in SOURCE.rglob("*.py") if "failpoints.arm(" in path.read_text("utf-8")]
    assert arming == []


def test_only_known_places_can_be_armed() -> None:
    with pytest.raises(ValueError, match=r"place 'elsewhere' is none of act\.done"):
        failpoints.arm("elsewhere", lambda: None)


def test_an_armed_place_runs_its_action_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "armed", None)
    hits: list[str] = []
    failpoints.arm("settle.before", lambda: hits.append("settle"))
    failpoints.reached("settle.before")
    failpoints.reached("settle.after")
    assert hits == ["settle"]
