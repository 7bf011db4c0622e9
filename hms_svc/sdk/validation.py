"""The steps that a job has to pass before its handler runs: payload model, validators, governance.

The worker runs them on its loop or on a thread, and a dry run one by one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from inspect import isasyncgen, isawaitable, isgenerator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hms_svc.domain.errors import ActionHeld, HmsError, LeaseLost, Outage, ValidationFailed
from hms_svc.domain.job import FIRST_VERSION
from hms_svc.domain.outcome import JobOutcome
from hms_svc.sdk.payload import parse_payload
from hms_svc.sdk.payload_versions import current_data
from hms_svc.sdk.source_places import bare_name
from hms_svc.sdk.storable_text import writable
from hms_svc.sdk.value_checks import is_async

if TYPE_CHECKING:
    from hms_svc.sdk.job_type import JobType, PayloadModel, Validator
    from hms_svc.sdk.running_job import RunningJob

OnThread: TypeAlias = Callable[..., Awaitable[Any]]
AwaitHere: TypeAlias = Callable[[Awaitable[Any]], Any]
NO_FAULT: Final = (ValidationFailed, ActionHeld, Outage, LeaseLost, JobOutcome)
"""What a validator may raise deliberately."""
LONGEST_SHOWN: Final = 80


class ValidatorFault(HmsError):
    """A validator or middleware failed: carries its name, and the error as its cause."""

    def __init__(self, validator: str) -> None:
        super().__init__(validator)
        self.validator = validator


class _Faults:
    """Names the validator in what it raises; one for all jobs, since it keeps nothing about any of them."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, ValidationFailed) and not error.validator:
            error.validator = self._name
        if isinstance(error, Exception) and not isinstance(error, NO_FAULT):
            raise ValidatorFault(self._name) from error


class PayloadStep:
    """The payload has to fit the model that the type declares; PayloadFault says what does not."""

    __slots__ = ("_model", "name")

    def __init__(self, model: PayloadModel) -> None:
        self._model = model
        self.name = "payload"

    async def run(self, job: RunningJob, on_thread: OnThread) -> None:
        """Set the job's payload to the model's instance."""
        job.payload = parse_payload(self._model, job.payload)

    def run_here(self, job: RunningJob, await_here: AwaitHere) -> None:
        """Set the job's payload to the model's instance."""
        job.payload = parse_payload(self._model, job.payload)


class UpgradeStep:
    """A payload of an older version is upgraded; UpgradeFault names version and function."""

    __slots__ = ("_declared", "name")

    def __init__(self, declared: JobType) -> None:
        self._declared = declared
        self.name = "upgrade"

    async def run(self, job: RunningJob, on_thread: OnThread) -> None:
        """Set the job's payload to the data of the declared version."""
        job.payload = current_data(job.claimed.job, self._declared)

    def run_here(self, job: RunningJob, await_here: AwaitHere) -> None:
        """Set the job's payload to the data of the declared version."""
        job.payload = current_data(job.claimed.job, self._declared)


class ValidatorStep:
    """One validator. A rejection is raised; ValidatorFault's cause is what failed."""

    __slots__ = ("_faults", "_function", "is_async", "name")

    def __init__(self, validator: Validator) -> None:
        self._function = validator
        self.name = bare_name(validator)
        self._faults = _Faults(self.name)
        self.is_async = is_async(validator)

    async def run(self, job: RunningJob, on_thread: OnThread) -> None:
        """Await the validator; a plain one goes to `on_thread(function, payload)`."""
        payload = job.payload
        with self._faults:
            answer = (
                self._function(payload)
                if self.is_async
                else await on_thread(self._function, payload)
            )
            while isawaitable(answer):
                answer = await answer
            self._check(answer)

    def run_here(self, job: RunningJob, await_here: AwaitHere) -> None:
        """Call a plain validator on this thread; `await_here` runs what turns out to be awaitable."""
        payload = job.payload
        with self._faults:
            answer = self._function(payload)
            while isawaitable(answer):
                answer = await_here(answer)
            self._check(answer)

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


class VetStep:
    """Governance has to allow the action that the type declares."""

    __slots__ = ("_action", "name")

    def __init__(self, action: str) -> None:
        self._action = action
        self.name = f"governance: {action}"

    async def run(self, job: RunningJob, on_thread: OnThread) -> None:
        """Ask governance about the job's data; a denial or hold is raised."""
        await job.gov.vet(self._action, job.data)


Step: TypeAlias = UpgradeStep | PayloadStep | ValidatorStep | VetStep


class Steps:
    """What a job of a type has to pass before its handler runs, in this order.

    First its `validation`: upgrade, payload model, then each validator; nothing may be written before
    that. Then `governance`. `is_plain` if none of it needs an event loop.
    """

    def __init__(self, declared: JobType) -> None:
        model, action = declared.payload, declared.action
        upgrade = () if declared.version == FIRST_VERSION else (UpgradeStep(declared),)
        self._payload = upgrade if model is None else (*upgrade, PayloadStep(model))
        validators = [ValidatorStep(validator) for validator in declared.validators]
        self._validation = (*self._payload, *validators)
        self.governance = () if action is None else (VetStep(action),)
        self.number = len(self._validation) + len(self.governance)
        self.is_plain = action is None and not any(step.is_async for step in validators)

    def validation(self, job: RunningJob) -> tuple[UpgradeStep | PayloadStep | ValidatorStep, ...]:
        """Return the steps that validate a job: one that has effects passed its validators before."""
        return self._payload if job.recalled else self._validation

    def __iter__(self) -> Iterator[Step]:
        """Return all steps of a job that never ran before."""
        return iter((*self._validation, *self.governance))


def shown(answer: object) -> str:
    """Return the return value of a service's function, in at most 80 characters."""
    try:
        return writable(repr(answer))[:LONGEST_SHOWN]
    except Exception:  # noqa: BLE001 - the repr is the service's code
        return f"a {type(answer).__name__}"
