"""Validation of job type declarations: every argument is checked for its type and range."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from hms_svc.domain.backoff import LONGEST_WAIT_SECONDS, RetryPolicy
from hms_svc.domain.errors import (
    ActionHeld,
    BadInput,
    EffectConflict,
    LeaseLost,
    MalformedJob,
    MalformedJson,
    Outage,
    ValidationFailed,
)
from hms_svc.domain.ids import check_job_type
from hms_svc.domain.job import FIRST_VERSION, MAX_PRIORITY, MOST_VERSIONS, encode_data
from hms_svc.domain.outcome import JobOutcome
from hms_svc.domain.strict_json import check_strict
from hms_svc.sdk.resources import takes_positional
from hms_svc.sdk.run_declarations import isolation_faults, limit_faults, unique_faults
from hms_svc.sdk.source_places import code_of, name_of, place_at, place_of
from hms_svc.sdk.value_checks import (
    has_no_parameters,
    is_async,
    is_generator,
    is_number,
    is_whole,
    takes,
    takes_one,
)

if TYPE_CHECKING:
    from hms_svc.domain.schedule import Schedule
    from hms_svc.sdk.job_type import JobType

MOST_ATTEMPTS: Final = 1000
MOST_SLOTS: Final = 10_000
MOST_WEIGHT: Final = 1000
LONGEST_TIMEOUT_SECONDS: Final = 7 * 86_400
UTC_NAME: Final = "UTC"
MOST_CAUGHT_UP: Final = 100
_NOT_RETRIED_BY_POLICY: Final = (
    ActionHeld,
    EffectConflict,
    JobOutcome,
    LeaseLost,
    Outage,
    ValidationFailed,
)
"""Errors after which something else decides what becomes of the job."""
_OURS: Final = ("hms_svc.sdk", "hms_svc.api")
DeclarationFault = tuple[str, Any, str]
"""An argument, its value, and what is wrong with it: the rest of a sentence that begins with them."""


def check_declaration(declared: JobType) -> None:
    """Raise BadInput for a declaration that the runtime could not work with.

    The message has file and line of the handler, the type, the argument, its value, and
    the expected form.
    """
    for argument, value, message in _faults(declared):
        raise declaration_fault(
            declared.type, declared.handler, f"{argument} {_shown(value)} {message}"
        )


def declaration_fault(type: object, handler: object, message: str) -> BadInput:
    """Return the error of a declaration: its place, its type, and what is wrong."""
    shown = type if isinstance(type, str) else repr(type)
    return BadInput(f"{place_of(handler) or _caller()}: type {shown:.140}: {message}")


def read_schedule(
    type: str, handler: object, schedule: object, time_zone: object
) -> Schedule | None:
    """Read the schedule of a declaration; a time zone is checked also if there is none.

    Raises BadInput as `check_declaration` does.
    """
    for argument, value in (("schedule", schedule), ("time_zone", time_zone)):
        if not isinstance(value, str) and (argument, value) != ("schedule", None):
            raise declaration_fault(type, handler, f"{argument} {_shown(value)} is not text")
    if schedule is None and time_zone == UTC_NAME:
        return None
    from hms_svc.domain.schedule import check_time_zone, make_schedule

    try:
        check_time_zone(str(time_zone))
        return None if schedule is None else make_schedule(str(schedule), str(time_zone))
    except BadInput as error:
        raise declaration_fault(type, handler, str(error)) from error


def _faults(declared: JobType) -> Iterator[DeclarationFault]:
    try:
        check_job_type(declared.type)
    except MalformedJob as error:
        raise declaration_fault(declared.type, declared.handler, str(error)) from error
    yield from _one("handler", declared.handler, _handler)
    yield from _one("payload", declared.payload, _payload)
    yield from _validators(declared.validators)
    yield from _one("action", declared.action, _action)
    yield from _retry(declared.retry)
    yield from _one("timeout_seconds", declared.timeout_seconds, _timeout)
    yield from _one("priority", declared.priority, _priority)
    yield from _one("slots", declared.slots, _slots)
    yield from _one("weight", declared.weight, _weight)
    yield from unique_faults(declared.unique)
    yield from limit_faults(declared.limits)
    yield from _one("schedule_data", declared.schedule_data, lambda data: _data(declared, data))
    yield from _one("overlap", declared.overlap, _overlap)
    yield from _one("catch_up", declared.catch_up, _catch_up)
    yield from _one("replace", declared.replace, _replace)
    yield from isolation_faults(declared)
    yield from _one("version", declared.version, _version)
    yield from _upgrades(declared.version, declared.upgrade)


def _one(argument: str, value: Any, check: Callable[[Any], str]) -> Iterator[DeclarationFault]:
    if message := check(value):
        yield argument, value, message


def _handler(value: Any) -> str:
    if isinstance(value, type) or not callable(value):
        return "is not a function that takes the running job or no argument"
    if is_generator(value):
        return "is a generator function, whose body would never run: return the result"
    if takes_positional(value, 1) or has_no_parameters(value):
        return ""
    return (
        "must take the running job or no argument; further parameters are for resources, each "
        "annotated with its type"
    )


def _payload(value: Any) -> str:
    if value is None:
        return ""
    from pydantic import BaseModel

    is_model = isinstance(value, type) and issubclass(value, BaseModel)
    return "" if is_model else "is not a class derived from pydantic.BaseModel"


def _validators(values: Any) -> Iterator[DeclarationFault]:
    if not isinstance(values, tuple):
        yield "validators", values, "is not a list or tuple of functions"
        return
    for number, value in enumerate(values):
        if not callable(value) or not takes_one(value):
            yield (
                f"validators[{number}]",
                value,
                "is not a function that takes one argument, the payload",
            )
        elif is_generator(value):
            yield (
                f"validators[{number}]",
                value,
                "is a generator function, which would accept everything",
            )


def _action(value: Any) -> str:
    is_name = value is None or (isinstance(value, str) and value.strip())
    return "" if is_name else "is not the name of an action, such as create_case"


def _retry(value: Any) -> Iterator[DeclarationFault]:
    if value is None:
        return
    if not isinstance(value, RetryPolicy):
        yield "retry", value, "is not a RetryPolicy, such as RetryPolicy(max_attempts=5)"
        return
    if not is_whole(value.max_attempts, 1, MOST_ATTEMPTS):
        message = f"is not a whole number from 1 to {MOST_ATTEMPTS}"
        yield "retry.max_attempts", value.max_attempts, message
    for name in ("base_seconds", "cap_seconds"):
        seconds = getattr(value, name)
        if not is_number(seconds) or not 0 <= seconds <= LONGEST_WAIT_SECONDS:
            yield (
                f"retry.{name}",
                seconds,
                f"is not a number of seconds, 0 to {LONGEST_WAIT_SECONDS}",
            )
    within = value.within_seconds
    if within is not None and not (is_number(within) and 0 < within <= LONGEST_WAIT_SECONDS):
        message = f"is not a number of seconds above 0, at most {LONGEST_WAIT_SECONDS}"
        yield "retry.within_seconds", within, message
    yield from _error_classes("retry.give_up_on", value.give_up_on)
    yield from _error_classes("retry.retry_on", value.retry_on)
    for kind in value.retry_on:
        if kind in value.give_up_on:
            yield "retry.retry_on", kind, "is in give_up_on as well"
    yield from _backoff(value.backoff)


def _error_classes(argument: str, values: Any) -> Iterator[DeclarationFault]:
    if not isinstance(values, tuple | list):
        yield argument, values, "is not a tuple of exception classes, such as (ValueError,)"
        return
    for number, kind in enumerate(values):
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            yield f"{argument}[{number}]", kind, "is not an exception class"
        elif issubclass(kind, _NOT_RETRIED_BY_POLICY):
            message = (
                "is not decided by a retry policy: outages, lost leases, rejections, "
                "effect conflicts and returned outcomes have rules of their own"
            )
            yield f"{argument}[{number}]", kind, message


def _backoff(value: Any) -> Iterator[DeclarationFault]:
    if value is None:
        return
    if callable(value):
        if not takes(value, 2):
            message = "is not a function that takes the number of the attempt and its error"
            yield "retry.backoff", value, message
        elif is_async(value) or is_generator(value):
            yield "retry.backoff", value, "is not a plain function that returns seconds at once"
        return
    if not isinstance(value, tuple | list) or not value:
        message = "is not a function, or a tuple of seconds, such as (1, 10, 60)"
        yield "retry.backoff", value, message
        return
    for number, seconds in enumerate(value):
        if not is_number(seconds) or not 0 <= seconds <= LONGEST_WAIT_SECONDS:
            message = f"is not a number of seconds, 0 to {LONGEST_WAIT_SECONDS}"
            yield f"retry.backoff[{number}]", seconds, message


def _timeout(value: Any) -> str:
    if value is None or (is_number(value) and 0 < value <= LONGEST_TIMEOUT_SECONDS):
        return ""
    return f"is not a number of seconds above 0, at most {LONGEST_TIMEOUT_SECONDS}"


def _priority(value: Any) -> str:
    if is_whole(value, -MAX_PRIORITY, MAX_PRIORITY):
        return ""
    return f"is not a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}"


def _weight(value: Any) -> str:
    return (
        "" if is_whole(value, 1, MOST_WEIGHT) else f"is not a whole number from 1 to {MOST_WEIGHT}"
    )


def _slots(value: Any) -> str:
    if value is None or is_whole(value, 1, MOST_SLOTS):
        return ""
    return f"is not a whole number from 1 to {MOST_SLOTS}"


def _overlap(value: Any) -> str:
    return "" if value in ("allow", "skip") else 'is not "allow" or "skip"'


def _catch_up(value: Any) -> str:
    if is_whole(value, 0, MOST_CAUGHT_UP):
        return ""
    return f"is not a whole number of runs from 0 to {MOST_CAUGHT_UP}"


def _replace(value: Any) -> str:
    return "" if type(value) is bool else "is not True or False"


def _version(value: Any) -> str:
    if is_whole(value, FIRST_VERSION, MOST_VERSIONS):
        return ""
    return f"is not a whole number from {FIRST_VERSION} to {MOST_VERSIONS}"


def _upgrades(version: int, values: Any) -> Iterator[DeclarationFault]:
    if not isinstance(values, Mapping):
        yield "upgrade", values, "is not a dict of functions, such as {1: add_email}"
        return
    for number, function in values.items():
        if not is_whole(number, FIRST_VERSION, version - 1):
            yield "upgrade", number, f"is not a version before {version}, the declared one"
        elif not callable(function) or not takes_one(function):
            message = "is not a function that takes the data of this version and returns the next"
            yield f"upgrade[{number}]", function, message
        elif is_async(function) or is_generator(function):
            yield f"upgrade[{number}]", function, "is not a plain function that returns the data"
    for number in range(FIRST_VERSION, version):
        if number not in values:
            yield "version", version, f"has no upgrade from version {number}"


def _data(declared: JobType, value: Any) -> str:
    try:
        check_strict(value)
        encode_data(value)
    except (MalformedJson, MalformedJob) as error:
        return f"is not JSON: {error}"
    if declared.schedule is None or declared.payload is None:
        return ""
    from hms_svc.sdk.payload import PayloadFault, parse_submitted

    try:
        parse_submitted(declared.payload, value)
    except PayloadFault as error:
        return f"does not match {declared.payload.__name__}: {error}"
    return ""


def _shown(value: Any) -> str:
    """Return a value as in source code, functions and classes by their names."""
    if isinstance(value, type):
        return value.__name__
    return name_of(value) if code_of(value) is not None else f"{value!r:.80}"


def _caller() -> str:
    """Return file and line of the declaration: the nearest frame outside of this package."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
        frame = frame.f_back
    return "?" if frame is None else place_at(frame.f_code.co_filename, frame.f_lineno)
