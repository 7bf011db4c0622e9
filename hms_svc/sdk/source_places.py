"""The file and line in which a function is defined, for messages that name it."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import CodeType


def place_of(function: object) -> str:
    """Return file and line of a function, as in `city.py:12`; empty for what has none."""
    code = code_of(function)
    return "" if code is None else place_at(code.co_filename, code.co_firstlineno)


def name_of(function: object) -> str:
    """Return a function's name with its file and line: `ward_key (city.py:12)`."""
    place = place_of(function)
    return f"{bare_name(function)} ({place})" if place else bare_name(function)


def bare_name(function: object) -> str:
    """Return a function's name alone, that of its type for what has none."""
    return str(getattr(function, "__name__", None) or type(function).__name__)


def code_of(function: object) -> CodeType | None:
    """Return the code that runs when a function, method or callable object is called; None for what has none."""
    code = getattr(function_of(function), "__code__", None)
    return code if isinstance(code, CodeType) else None


def function_of(called: object) -> object:
    """Return the function beneath a method, a partial, a wrapper or a callable object; else what was given."""
    function = called
    while True:
        function = inspect.unwrap(function) if callable(function) else function
        inner = getattr(function, "func", None) or getattr(function, "__func__", None)
        if inner is None:
            break
        function = inner
    if not hasattr(function, "__code__") and not isinstance(function, type):
        return getattr(type(function), "__call__", function)  # noqa: B004 - the method itself is examined
    return function


def place_at(file: str, line: int) -> str:
    """Return the name of a place; its file is relative to the current folder if it is below that."""
    try:
        return f"{Path(file).relative_to(Path.cwd())}:{line}"
    except (ValueError, OSError):
        return f"{file}:{line}"
