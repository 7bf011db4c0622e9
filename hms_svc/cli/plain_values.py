"""Values of options that need no validation library: typer would load Pydantic for each of them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any, Final

_TEXT: Final = (str, str | None)
_TEXTS: Final = (list[str], list[str] | None)
_PATH: Final = (Path, Path | None)
_WHOLE: Final = (int, int | None)
LONGEST_NUMBER: Final = 15
"""Digits of a number that is read here; Pydantic reads longer ones and all other spellings."""


def leave_plain(command: Any, context: Any) -> None:
    """Let the parameters of a command read omitted options and plain values without Pydantic."""
    for parameter in command.get_params(context):
        parameter.process_value = partial(_process, parameter)


def _process(parameter: Any, context: Any, value: Any) -> Any:
    read = value if value is None else read_plain(parameter.type_descriptor, value)
    is_missing = value is None or value in ((), [])
    if (parameter.required and is_missing) or (value is not None and read is None):
        return type(parameter).process_value(parameter, context, value)
    if value is None and parameter.multiple:
        read = ()
    return read if parameter.callback is None else parameter.callback(context, parameter, read)


def read_plain(descriptor: Any, value: Any) -> Any:
    """Return a value as typer does that has its type already or is a plain text; None for any other."""
    annotation = descriptor.annotation
    if isinstance(value, str):
        return _read_text(annotation, descriptor.parameter_info, value)
    if isinstance(value, list | tuple):
        is_plain = annotation in _TEXTS and all(map(_is_plain, value))
        return list(value) if is_plain else None
    return value


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()


def _read_text(annotation: Any, wanted: Any, value: str) -> Any:
    if annotation in _TEXT:
        return value
    if annotation in _PATH:
        is_readable = value.isprintable() and os.access(value, os.R_OK)
        return Path(value) if is_readable else None
    if annotation in _WHOLE and value.isascii() and value.isdecimal():
        return _within(wanted, int(value)) if len(value) <= LONGEST_NUMBER else None
    return None


def _within(wanted: Any, number: int) -> int | None:
    is_low = wanted.min is not None and number < wanted.min
    is_high = wanted.max is not None and number > wanted.max
    return None if is_low or is_high else number
