"""What declarations ask of a value: whether it is a number of a range, and what kind of function."""

from __future__ import annotations

import inspect
import math
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from hms_svc.domain.errors import BadInput


def is_whole(value: Any, low: int, high: int) -> bool:
    """Return whether a value is a whole number of this range."""
    return type(value) is int and low <= value <= high


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def not_a_job(call: str, value: object, several: str) -> BadInput:
    """Return the error for an argument of a call that is no job; `several` says how many jobs are passed.

    It does not show the value, which may be a payload.
    """
    is_group = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    hint = f"; for several jobs: {several}" if is_group else ", such as Job(type, data)"
    return BadInput(f"{call}: expected hms_svc.Job, got {type(value).__name__}{hint}")


def check_text(name: str, value: object, such_as: str) -> None:
    """Raise BadInput for an argument that is no text, or one that UTF-8 cannot express."""
    if not isinstance(value, str):
        raise BadInput(f"{name} {reprlib.repr(value)} is not a text such as {such_as}")
    if value.encode(errors="replace").decode() != value:
        raise BadInput(f"{name} {reprlib.repr(value)} is not a text that can be stored as UTF-8")


def takes_one(function: Any) -> bool:
    """Return whether a function can be called with one positional argument."""
    return takes(function, 1)


def takes(function: Any, number: int) -> bool:
    """Return whether a function can be called with so many positional arguments."""
    try:
        inspect.signature(function).bind(*[None] * number)
    except (TypeError, ValueError):
        return False
    return True


def has_no_parameters(function: Any) -> bool:
    """Return whether a function takes nothing."""
    try:
        return not inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def is_generator(function: Any) -> bool:
    """Return whether calling a function makes a generator."""
    return any(
        inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each)
        for each in (function, getattr(function, "__call__", None))  # noqa: B004 - the method itself is examined
    )


def is_async(function: Any) -> bool:
    """Return whether calling a function makes a coroutine."""
    return any(
        inspect.iscoroutinefunction(each)
        for each in (function, getattr(function, "__call__", None))  # noqa: B004 - the method itself is examined
    )
