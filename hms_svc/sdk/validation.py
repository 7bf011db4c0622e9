"""The validation chain: the payload's model, then each validator in turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from inspect import isasyncgen, isawaitable, iscoroutinefunction, isgenerator
from typing import TYPE_CHECKING, Any, Final

from hms_svc.domain.errors import ActionHeld, HmsError, LeaseLost, Outage, ValidationFailed
from hms_svc.domain.outcome import JobOutcome
from hms_svc.sdk.payload import parse_payload
from hms_svc.sdk.storable_text import writable

if TYPE_CHECKING:
    from hms_svc.sdk.job_type import JobType, Validator
    from hms_svc.sdk.running_job import RunningJob

NO_FAULT: Final = (ValidationFailed, ActionHeld, Outage, LeaseLost, JobOutcome)
"""What a validator may raise deliberately."""
LONGEST_SHOWN: Final = 80


class ValidatorFault(HmsError):
    """A validator failed: carries its name, and the error as its cause."""

    def __init__(self, validator: str) -> None:
        super().__init__(validator)
        self.validator = validator


class ChainLink:
    """One validator of a type's chain. A rejection is raised; ValidatorFault's cause is what failed."""

    __slots__ = ("_function", "is_async", "name")

    def __init__(self, validator: Validator) -> None:
        self._function = validator
        self.name = name_of(validator)
        self.is_async = is_async(validator)

    async def ask(self, payload: Any, on_thread: Callable[..., Awaitable[Any]]) -> None:
        """Await the validator; a plain one goes to `on_thread(function, payload)`."""
        with self._faults():
            answer = (
                self._function(payload)
                if self.is_async
                else await on_thread(self._function, payload)
            )
            while isawaitable(answer):
                answer = await answer
            self._check(answer)

    def ask_here(self, payload: Any, await_here: Callable[[Awaitable[Any]], Any]) -> None:
        """Call a plain validator on this thread; `await_here` runs what turns out to be awaitable."""
        with self._faults():
            answer = self._function(payload)
            while isawaitable(answer):
                answer = await_here(answer)
            self._check(answer)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except NO_FAULT as error:
            if isinstance(error, ValidationFailed) and not error.validator:
                error.validator = self.name
            raise
        except Exception as error:
            raise ValidatorFault(self.name) from error

    def _check(self, answer: Any) -> None:
        """Raise a rejection: None accepts, a returned outcome counts as raised, anything else by its truth."""
        if answer is None or answer is True:
            return
        if isinstance(answer, BaseException):
            raise answer
        if isgenerator(answer) or isasyncgen(answer):
            raise TypeError(f"{self.name} is a generator function: it must return its answer")
        if not answer:
            detail = (
                "returned False"
                if answer is False
                else f"returned {shown(answer)}, which is not true"
            )
            raise ValidationFailed(f"{self.name} {detail}", validator=self.name)


def chain_of(declared: JobType) -> list[ChainLink]:
    """Return the validators of a type, in their order."""
    return [ChainLink(validator) for validator in declared.validators]


def read_payload(job: RunningJob, declared: JobType) -> None:
    """Set `job.payload` to the model's instance, if there is a model."""
    if declared.payload is not None:
        job.payload = parse_payload(declared.payload, job.data)


def shown(answer: object) -> str:
    """Return the return value of a service's function, in at most 80 characters."""
    try:
        return writable(repr(answer))[:LONGEST_SHOWN]
    except Exception:  # noqa: BLE001 - the repr is the service's code
        return f"a {type(answer).__name__}"


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a validator or handler in messages."""
    return getattr(function, "__name__", type(function).__name__)


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a function, or a callable object, is `async`."""
    return iscoroutinefunction(function) or iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - the method itself is examined
    )
