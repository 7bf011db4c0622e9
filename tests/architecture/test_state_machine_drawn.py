"""docs/state_machine.md draws and tells exactly the transitions of domain/lifecycle.py."""

from __future__ import annotations

import re
from pathlib import Path

from hms_svc.domain.lifecycle import TERMINAL, TRANSITIONS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "state_machine.md"
ARROW = re.compile(r"^    (\S+) --> (\S+?)(?:: (.+))?$", re.MULTILINE)
ROW = re.compile(r"^\| (?:`(\w+)`|\(new\)) \| `(\w+)` \| `(\w+)` \|", re.MULTILINE)
OUTSIDE = "[*]"
Arrow = tuple[str, str, str]


def legal_transitions() -> set[Arrow]:
    return {
        (source.value if source else OUTSIDE, target.value, trigger.value)
        for source, targets in TRANSITIONS.items()
        for target, triggers in targets.items()
        for trigger in triggers
    }


def arrows() -> list[Arrow]:
    found = ARROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert found, "the drawing has no arrows"
    return found


def test_the_drawing_has_every_legal_transition_and_no_other() -> None:
    drawn = [
        (source, target, trigger)
        for source, target, triggers in arrows()
        if target != OUTSIDE
        for trigger in triggers.split(", ")
    ]
    assert sorted(drawn) == sorted(legal_transitions())


def test_exactly_the_terminal_states_lead_out_of_the_drawing() -> None:
    ends = [source for source, target, _ in arrows() if target == OUTSIDE]
    assert sorted(ends) == sorted(state.value for state in TERMINAL)


def test_the_table_tells_every_legal_transition_once_and_no_other() -> None:
    rows = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    told = [(source or OUTSIDE, target, trigger) for source, target, trigger in rows]
    assert sorted(told) == sorted(legal_transitions())
