"""The keys at the foot: what can be done to what the cursor is on, and no more. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from hms_svc.domain.case import CaseStatus
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.operations.plan import ELIGIBLE
from hms_svc.tui.commands import PAUSING, RESUMING, Command, Target, key_sign, keys_of, possible
from hms_svc.tui.text import Cell, Line

States = Collection[str] | None
"""States of jobs, or of cases; None where they are not known."""
_FROM: Final[Mapping[str, Collection[str]]] = {
    **{act.value: states for act, states in ELIGIBLE.items()},
    "edit": TERMINAL,
    "close-case": {CaseStatus.OPEN},
    "reopen-case": {CaseStatus.CLOSED},
}
DECIDING: Final = frozenset({"approve", "deny"})
"""What a held job waits for: told before all else."""
_UNREPORTED: Final = frozenset({"copy", "mark", "mark-all", "reverse", "columns"})
PROMPTS: Final = {
    "filter": "filter jobs", "words": "filter rows", "search": "search", "command": "command",
}  # fmt: skip
"""What each mode of the prompt is for."""
PROMPT: Final = (
    ("enter", "run"), ("esc", "back"), ("tab", "complete"), ("shift+tab", "backwards"),
    ("↑↓", "earlier"),
)  # fmt: skip


def hints(
    target: Target | None,
    states: States,
    *,
    is_paused: bool,
    first: Collection[str],
    panels: int,
    without: Collection[str] = (),
    more: Iterable[tuple[str, str]] = (),
) -> list[Line]:
    """Return a hint for each key, what is done to the choice before what needs none.

    `states` are those of the chosen, `is_paused` tells of their queues or workers; `first` names the commands
    that this screen is for, `without` those that it has not, `more` are keys of its own.
    """
    commands = [*possible(target, group="look"), *possible(target, group="act")]
    shown = [each for each in commands if keys_of(each) and can(each, states, is_paused=is_paused)]
    if states is not None and set(states) == {State.HELD}:
        first = {*first, *DECIDING}
    shown.sort(key=lambda each: (each.name not in first, not each.takes))
    described = [
        (key_sign(each), each.title.lower())
        for each in shown
        if each.name not in {*_UNREPORTED, *without}
    ]
    described += more
    if panels > 1:
        described.append(("tab", "panel"))
    return lines_of(described)


def _described(commands: Iterable[Command]) -> list[tuple[str, str]]:
    return [(key_sign(each), each.title.lower()) for each in commands]


def lines_of(keys: Iterable[tuple[str, str]]) -> list[Line]:
    """Return a line of each key with what it does."""
    return [(Cell(key, "key"), Cell(f" {words}  ", "dim")) for key, words in keys]


def can(command: Command, states: States, *, is_paused: bool) -> bool:
    """Return whether a command can be done to any of the chosen, as far as their states are known."""
    if command.name in PAUSING | RESUMING:
        return is_paused == (command.name in RESUMING)
    wanted = _FROM.get(command.name)
    return wanted is None or states is None or any(state in wanted for state in states)
