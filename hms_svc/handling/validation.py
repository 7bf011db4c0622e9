"""The validation chain: the payload's model, then each validator in turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final

from hms_svc.domain.errors import ActionHeld, HmsError, LeaseLost, Outage, ValidationFailed
from hms_svc.handling.payload import parse_payload

if TYPE_CHECKING:
    from hms_svc.handling.context import RunningJob
    from hms_svc.handling.registry import JobType, Validator

NO_FAULT: Final = (ValidationFailed, ActionHeld, Outage, LeaseLost)
"""What a validator may raise without being broken."""


class ValidatorFault(HmsError):
    """A validator broke: carries its name, and the error as its cause."""

    def __init__(self, validator: str) -> None:
        super().__init__(validator)
        self.validator = validator


class ChainLink:
    """One validator of a type's chain. A no is raised; what broke is ValidatorFault's cause."""

    __slots__ = ("_function", "is_async", "name")

    def __init__(self, validator: Validator) -> None:
        self._function = validator
        self.name = name_of(validator)
        self.is_async = is_async(validator)

    async def ask(self, payload: Any, on_thread: Callable[..., Awaitable[Any]]) -> None:
        """Await the validator; a plain one goes to `on_thread(function, payload)`."""
        try:
            if self.is_async:
                answer = await self._function(payload)
            else:
                answer = await on_thread(self._function, payload)
        except NO_FAULT:
            raise
        except Exception as error:
            raise ValidatorFault(self.name) from error
        self._check(answer)

    def ask_here(self, payload: Any) -> None:
        """Call a plain validator on this thread."""
        try:
            answer = self._function(payload)
        except NO_FAULT:
            raise
        except Exception as error:
            raise ValidatorFault(self.name) from error
        self._check(answer)

    def _check(self, answer: Any) -> None:
        if answer is False:
            raise ValidationFailed(f"{self.name} said no", validator=self.name)


def chain_of(declared: JobType) -> list[ChainLink]:
    """Give the validators of a type, in their order."""
    return [ChainLink(validator) for validator in declared.validators]


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
