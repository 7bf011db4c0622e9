"""The validation chain: the payload's model, then each validator in turn."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from hms_svc.domain.errors import HmsError, ValidationFailed
from hms_svc.handling.payload import parse_payload

if TYPE_CHECKING:
    from hms_svc.handling.context import RunningJob
    from hms_svc.handling.registry import JobType


class ValidatorFault(HmsError):
    """A validator broke: carries its name, and the error as its cause."""

    def __init__(self, validator: str) -> None:
        super().__init__(validator)
        self.validator = validator


def read_payload(job: RunningJob, declared: JobType) -> None:
    """Set `job.payload` to the model's instance, where there is a model."""
    if declared.payload is not None:
        job.payload = parse_payload(declared.payload, job.data)


def name_of(function: Callable[..., Any]) -> str:
    """Give the name that a validator or handler goes by."""
    return getattr(function, "__name__", type(function).__name__)


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether a function, or a callable object, is `async`."""
    return iscoroutinefunction(function) or iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )


def check_answer(validator: str, answer: Any) -> None:
    """Turn the False of a validator, given by its name, into its ValidationFailed."""
    if answer is False:
        raise ValidationFailed(f"{validator} said no", validator=validator)
