"""The result of a job as its handler's return annotation says, where that names pydantic models."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, reduce
from operator import or_
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hms_svc.api.handle_calls import ReadResult, read_json
from hms_svc.domain.errors import HmsError
from hms_svc.domain.outcome import JobOutcome
from hms_svc.sdk.payload import is_model_class
from hms_svc.sdk.storable_text import writable


def result_reader(handler: Callable[..., Any]) -> ReadResult:
    """Return what reads the results of a handler.

    They are plain data if its annotation names no model, or cannot be resolved at run time.
    """
    annotation = _without_outcomes(_returned_by(handler))
    if not _names_model(annotation):
        return read_json
    from pydantic import PydanticUserError, TypeAdapter

    try:
        return partial(_read, TypeAdapter(annotation), annotation)
    except PydanticUserError:  # it also names what is no data
        return read_json


def _read(adapter: Any, annotation: Any, job_id: str, raw: bytes) -> Any:
    from pydantic import ValidationError

    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        name = annotation.__name__ if isinstance(annotation, type) else annotation
        faults = writable(error)[:2000]
        raise HmsError(f"the result of job {job_id} does not match {name}: {faults}") from error


def _returned_by(handler: Any) -> Any:
    handler = inspect.unwrap(handler)
    while isinstance(handler, partial):
        handler = handler.func
    function = handler if inspect.isroutine(handler) else type(handler).__call__
    try:
        return get_type_hints(function).get("return")
    except Exception:  # noqa: BLE001 - evaluates the service's code: names that only type checkers import, for one
        return None


def _without_outcomes(annotation: Any) -> Any:
    """Leave out what a handler returns to end otherwise: such a job has no result."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    kept = [each for each in get_args(annotation) if not _is_outcome(each)]
    return reduce(or_, kept) if kept else None


def _is_outcome(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, JobOutcome)


def _names_model(annotation: Any) -> bool:
    return is_model_class(annotation) or any(map(_names_model, get_args(annotation)))
