"""The keys of the commands: those of the table or of the configuration, and what each means for the selection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, get_args

from hms_svc.domain.errors import BadSetting
from hms_svc.domain.suggestions import did_you_mean
from hms_svc.tui.commands import BY_NAME, TABLE, Command, Target, TargetKind, fits

_KEY: Final = re.compile(r"[!-+\--~]|ctrl\+[a-z]|f([1-9]|1[0-2])")
TAKEN_KEYS: Final = frozenset(
    {"j", "k", "g", "G", "n", "N", "z", "Z", "W", "F", *(f"ctrl+{letter}" for letter in "cqzpihjm")}
)
"""Keys that are bound everywhere or on pages, or that terminals cannot distinguish from others."""
TOGGLES: Final = (
    {"pause", "resume"},
    {"quiet", "resume-worker"},
    {"pause-schedule", "resume-schedule"},
)
PAUSING: Final = frozenset({"pause", "quiet", "pause-schedule"})
RESUMING: Final = frozenset({"resume", "resume-worker", "resume-schedule"})
KEY_SIGNS: Final = {
    "slash": "/",
    "asterisk": "*",
    "space": "space",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "colon": ":",
    "question_mark": "?",
    "ctrl+p": "ctrl+p",
}
_remapped: dict[str, str] = {}


def keys_of(command: Command) -> tuple[str, ...]:
    """Return the keys of a command: the configured one, else its own."""
    return (_remapped[command.name],) if command.name in _remapped else command.keys


def remap(keys: Mapping[str, object]) -> None:
    """Assign other keys to commands by name; this replaces those of earlier calls.

    Raise BadSetting for an unknown command, an invalid key, and a key that two commands
    would share for the same kind of target.
    """
    _remapped.clear()
    _remapped.update({name: _key_for(name, key) for name, key in keys.items()})
    for kind in (None, *get_args(TargetKind)):
        target = None if kind is None else Target(kind=kind, ids=("x",))
        taken: dict[str, Command] = {}
        for command in TABLE:
            for sign in map(_sign, keys_of(command) if fits(command, target) else ()):
                other = taken.setdefault(sign, command)
                if other is not command and {other.name, command.name} not in TOGGLES:
                    names = sorted((command.name, other.name))
                    _remapped.clear()
                    raise BadSetting(f"[keys]: {sign} is assigned to both {' and '.join(names)}")


def _key_for(name: str, key: object) -> str:
    if name not in BY_NAME:
        raise BadSetting(f"[keys]: no command {name!r}{did_you_mean(name, BY_NAME)}")
    if not isinstance(key, str) or not _KEY.fullmatch(key) or key in TAKEN_KEYS:
        raise BadSetting(
            f"[keys]: {name} = {key!r:.40} is wrong: expected a sign such as X or !, ctrl+x or f5, and "
            f"none that moves, opens, folds or leaves: {' '.join(sorted(TAKEN_KEYS))}"
        )
    return key


def _sign(key: str) -> str:
    return KEY_SIGNS.get(key, key)


def key_sign(command: Command) -> str:
    """Return the first key of a command as it is shown."""
    return next(map(_sign, keys_of(command)), "")


def sign_of(name: str) -> str:
    """Return the first key of a named command as it is shown."""
    return key_sign(BY_NAME[name])


def bound() -> Mapping[str, Command]:
    """Return for each key the first command that has it; `resolve` chooses among those that share it."""
    found: dict[str, Command] = {}
    for command in TABLE:
        for key in keys_of(command):
            found.setdefault(key, command)
    return found


def resolve(command: Command, target: Target | None, *, is_paused: bool) -> Command:
    """Return the command that fits the selection among those that share the key of this one."""
    sharing = [each for each in TABLE if keys_of(each) and key_sign(each) == key_sign(command)]
    fitting = [each for each in sharing if fits(each, target)]
    if len(fitting) > 1:
        fitting = [each for each in fitting if (each.name in RESUMING) == is_paused]
    return fitting[0] if fitting else command
