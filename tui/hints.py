"""The hint line: the keys of the commands that can be run at the cursor. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from hms_svc.domain.lifecycle import State
from hms_svc.operations.action_table import ACTIONS, DECISIONS
from hms_svc.tui.command_keys import PAUSING, RESUMING, key_sign, keys_of
from hms_svc.tui.commands import Command, Target, possible
from hms_svc.tui.text import Cell, Line

States = Collection[str] | None
"""States of jobs, or of cases; None if they are not known."""
_FROM: Final = {action.name: action.states for action in ACTIONS if action.states}
_NOT_HINTED: Final = frozenset({"copy", "mark", "mark-all", "reverse", "columns"})
PROMPTS: Final = {
    "filter": "filter jobs",
    "rows": "filter rows",
    "search": "search",
    "command": "command",
}
"""What each mode of the prompt does."""
PROMPT: Final = (
    ("enter", "run"),
    ("esc", "back"),
    ("tab", "complete"),
    ("shift+tab", "backwards"),
    ("↑↓", "earlier"),
)


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
    """Return a hint for each key, commands on the target before commands that need none.

    `states` are the states of the target, `is_paused` whether its queues or workers are paused.
    `first` names the main commands of the screen, `without` those that it does not have; `more` are
    its own keys.
    """
    commands = [*possible(target, group="view"), *possible(target, group="act")]
    shown = [each for each in commands if keys_of(each) and can(each, states, is_paused=is_paused)]
    if states is not None and set(states) == {State.HELD}:
        first = {*first, *DECISIONS}
    shown.sort(key=lambda each: (each.name not in first, not each.takes))
    described = [
        (key_sign(each), each.title.lower())
        for each in shown
        if each.name not in {*_NOT_HINTED, *without}
    ]
    described += more
    if panels > 1:
        described.append(("tab", "panel"))
    return lines_of(described)


def lines_of(keys: Iterable[tuple[str, str]]) -> list[Line]:
    """Return a hint for each pair of key and label."""
    return [(Cell(key, "key"), Cell(f" {label}  ", "dim")) for key, label in keys]


def can(command: Command, states: States, *, is_paused: bool) -> bool:
    """Return whether a command can be run on any item of the target, as far as their states are known."""
    if command.name in PAUSING | RESUMING:
        return is_paused == (command.name in RESUMING)
    wanted = _FROM.get(command.name)
    return wanted is None or states is None or any(state in wanted for state in states)
