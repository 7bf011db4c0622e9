"""docs/state_machine.md draws and tells exactly the moves of domain/lifecycle.py."""

from __future__ import annotations

import re
from pathlib import Path

from hms_svc.domain.lifecycle import MOVES, TERMINAL

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "state_machine.md"
ARROW = re.compile(r"^    (\S+) --> (\S+?)(?:: (.+))?$", re.MULTILINE)
ROW = re.compile(r"^\| (?:`(\w+)`|\(new\)) \| `(\w+)` \| `(\w+)` \|", re.MULTILINE)
OUTSIDE = "[*]"
Move = tuple[str, str, str]


def legal_moves() -> set[Move]:
    return {
        (source.value if source else OUTSIDE, target.value, cause.value)
        for source, targets in MOVES.items()
        for target, causes in targets.items()
        for cause in causes
    }


def arrows() -> list[tuple[str, str, str]]:
    found = ARROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert found, "the drawing has no arrows"
    return found


def test_the_drawing_has_every_legal_move_and_no_other() -> None:
    drawn = [
        (source, target, cause)
        for source, target, causes in arrows()
        if target != OUTSIDE
        for cause in causes.split(", ")
    ]
    assert sorted(drawn) == sorted(legal_moves())


def test_exactly_the_terminal_states_lead_out_of_the_drawing() -> None:
    ends = [source for source, target, _ in arrows() if target == OUTSIDE]
    assert sorted(ends) == sorted(state.value for state in TERMINAL)


def test_the_table_tells_every_legal_move_once_and_no_other() -> None:
    rows = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    told = [(source or OUTSIDE, target, cause) for source, target, cause in rows]
    assert sorted(told) == sorted(legal_moves())
