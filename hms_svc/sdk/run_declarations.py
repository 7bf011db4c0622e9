"""Validation of what a declaration says about runs: limits, uniqueness, and isolation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, get_args

from hms_svc.domain.job_limits import Concurrency, Rate
from hms_svc.domain.uniqueness import Debounce, Unique, Until, key_function
from hms_svc.sdk.value_checks import is_async, is_generator, is_number, is_whole, takes_one

if TYPE_CHECKING:
    from hms_svc.sdk.job_type import JobType

MOST_LIMITED: Final = 10_000
SHORTEST_WINDOW_SECONDS: Final = 0.01
LONGEST_WINDOW_SECONDS: Final = 7 * 86_400
_WINDOW: Final = (
    f"is not a number of seconds, {SHORTEST_WINDOW_SECONDS} to {LONGEST_WINDOW_SECONDS}"
)
MOST_MEMORY_MB: Final = 1_048_576
MOST_JOBS_PER_PROCESS: Final = 1_000_000
Fault = tuple[str, Any, str]
"""An argument, its value, and what is wrong with it: the rest of a sentence that begins with them."""


def isolation_faults(declared: JobType) -> Iterator[Fault]:
    """Yield what is wrong with the arguments of isolation."""
    if declared.isolate not in (None, "process"):
        yield "isolate", declared.isolate, "is not 'process', the only way to isolate a handler"
    for name, most in (("memory_mb", MOST_MEMORY_MB), ("jobs_per_process", MOST_JOBS_PER_PROCESS)):
        value = getattr(declared, name)
        if value is not None and not is_whole(value, 1, most):
            yield name, value, f"is not a whole number from 1 to {most}"
        elif value is not None and declared.isolate is None:
            yield name, value, "is for handlers with isolate='process'"


def limit_faults(values: Any) -> Iterator[Fault]:
    """Yield what is wrong with the limits."""
    if not isinstance(values, tuple):
        yield "limits", values, "is not a list or tuple of Concurrency and Rate"
        return
    for number, limit in enumerate(values):
        name = f"limits[{number}]"
        if not isinstance(limit, Concurrency | Rate):
            yield name, limit, "is not a limit, such as Concurrency(3) or Rate(10, per_seconds=1)"
            continue
        if not is_whole(limit.most, 1, MOST_LIMITED):
            yield f"{name}.most", limit.most, f"is not a whole number from 1 to {MOST_LIMITED}"
        if isinstance(limit, Rate) and not _is_window(limit.per_seconds):
            yield f"{name}.per_seconds", limit.per_seconds, _WINDOW
        if message := _limit_key(limit.key):
            yield f"{name}.key", limit.key, message


def unique_faults(value: Any) -> Iterator[Fault]:
    """Yield what is wrong with the declaration of a unique key."""
    if value is None:
        return
    name = "unique.key" if isinstance(value, Unique | Debounce) else "unique"
    function: Any = key_function(value)
    if message := _key_function(function):
        yield name, function, message
    if isinstance(value, Unique):
        yield from _unique_faults(value)
    elif isinstance(value, Debounce):
        yield from _debounce_faults(value)


def _unique_faults(value: Unique[Any]) -> Iterator[Fault]:
    window = value.window_seconds
    if value.until not in get_args(Until):
        yield "unique.until", value.until, 'is not "ended", "started" or "window"'
    if window is not None and not _is_window(window):
        yield "unique.window_seconds", window, _WINDOW
    if window is None and value.until == "window":
        yield "unique.window_seconds", window, 'is needed with until="window"'


def _debounce_faults(value: Debounce[Any]) -> Iterator[Fault]:
    if not _is_window(value.seconds):
        yield "unique.seconds", value.seconds, _WINDOW
        return
    most = value.most_seconds
    if most is None:
        return
    if not _is_window(most):
        yield "unique.most_seconds", most, _WINDOW
    elif most < value.seconds:
        yield "unique.most_seconds", most, f"is less than seconds, {value.seconds:g}"


def _key_function(value: Any) -> str:
    if not callable(value) or not takes_one(value):
        return "is not a function that takes one argument, the payload, and returns the key"
    if is_async(value) or is_generator(value):
        return "is not a plain function that returns the key at once"
    return ""


def _is_window(value: Any) -> bool:
    return is_number(value) and SHORTEST_WINDOW_SECONDS <= value <= LONGEST_WINDOW_SECONDS


def _limit_key(value: Any) -> str:
    if value is None:
        return ""
    if not callable(value) or not takes_one(value):
        return (
            "is not a function that takes one argument, the payload, and returns text or a number"
        )
    if is_async(value) or is_generator(value):
        return "is not a plain function that returns the value at once"
    return ""
