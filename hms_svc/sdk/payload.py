"""Payloads against the models that their types declare: one check for producers and workers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hms_svc.domain.errors import FieldFault, HmsError
from hms_svc.sdk.job_type import PayloadModel
from hms_svc.sdk.storable_text import writable

MOST_SHOWN: Final = 50
MOST_DESCRIBED: Final = 10
MOST_FAULTS: Final = 1_000
"""Further faults are only counted: describing half a million of them takes a second."""


class PayloadFault(HmsError):
    """The payload's model rejected the data; `field` is the path of the first fault, from `data` down.

    `faults` has every field at fault, up to 50.
    """

    def __init__(self, message: str, field: str, faults: Sequence[FieldFault] = ()) -> None:
        super().__init__(message)
        self.field = field
        self.faults = tuple(faults) or (FieldFault(field, message),)


def parse_payload(model: PayloadModel, data: Any) -> Any:
    """Return the model's instance of the data, or raise PayloadFault naming the first ten fields at fault."""
    try:
        return model.model_validate(data)
    except Exception as error:
        from pydantic import ValidationError

        if not isinstance(error, ValidationError):
            raise
        if error.error_count() > MOST_FAULTS:
            raise PayloadFault(f"data: {error.error_count():,} faults", "data") from error
        faults: Sequence[Any] = error.errors(include_url=False)
        found = [FieldFault(_path(fault), _describe(fault)) for fault in faults[:MOST_SHOWN]]
        message = "; ".join(fault.detail for fault in found[:MOST_DESCRIBED])
        raise PayloadFault(message, found[0].field, found) from error


def parse_submitted(model: PayloadModel, data: Any) -> Any:
    """Return the model's instance of submitted data, or raise PayloadFault, whatever the model raised.

    A validator of a model is a service's code: it may raise what pydantic does not catch, and must
    not end the loop of a process that accepts jobs.
    """
    try:
        return parse_payload(model, data)
    except PayloadFault:
        raise
    except Exception as error:
        raised = f"{model.__name__} raised {type(error).__name__}"
        raise PayloadFault(f"data: {raised}: {writable(error)[:200]}", "data") from error


def plain_data(value: Any) -> Any:
    """Return a value with every pydantic model in it, and in its lists and objects, as plain data.

    The fields have the names that the model reads. Raises what a serializer of the model raises.
    """
    if isinstance(value, list):
        return [plain_data(each) for each in value]
    if isinstance(value, dict):
        return {key: plain_data(each) for key, each in value.items()}
    if not is_model(value):
        return value
    return value.model_dump(mode="json", by_alias=True, round_trip=True, warnings=False)


def is_model(value: object) -> bool:
    """Return whether a value is an instance of a pydantic model."""
    return is_model_class(type(value))


def is_model_class(value: object) -> bool:
    """Return whether a value is a pydantic model; where pydantic is not loaded nothing is."""
    pydantic = sys.modules.get("pydantic")
    return (
        pydantic is not None and isinstance(value, type) and issubclass(value, pydantic.BaseModel)
    )


def _path(fault: Mapping[str, Any]) -> str:
    return ".".join(["data", *(str(step) for step in fault["loc"])])


def _describe(fault: Mapping[str, Any]) -> str:
    given = fault["input"]
    shown = f" (given {given!r:.60})" if isinstance(given, str | int | float) else ""
    return f"{_path(fault)}: {fault['msg']}{shown}"
