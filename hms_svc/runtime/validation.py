"""The validation chain: the payload's model, then each validator in turn."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from inspect import iscoroutinefunction, signature
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
    """Set `job.payload`: the model's instance, or the plain data where there is no model."""
    if declared.payload is None:
        job.payload = job.data
    else:
        job.payload = parse_payload(declared.payload, job.data)


def name_of(function: Callable[..., Any]) -> str:
    """Give the name that a validator or handler goes by."""
    return getattr(function, "__name__", type(function).__name__)


@lru_cache(maxsize=1024)
def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether a function, or a callable object, is `async`."""
    return iscoroutinefunction(function) or iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )


@lru_cache(maxsize=1024)
def wants_job(function: Callable[..., Any]) -> bool:
    """Tell whether a handler takes the running job."""
    return bool(signature(function).parameters)


def check_answer(validator: Callable[..., Any], answer: Any) -> None:
    """Turn the False of a validator into its ValidationFailed."""
    if answer is False:
        name = name_of(validator)
        raise ValidationFailed(f"{name} said no", validator=name)
