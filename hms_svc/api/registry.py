"""The registry of an application: what `registry.job` returns is a declared job type."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from hms_svc.api.declared_type import DeclaredType
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.job import FIRST_VERSION
from hms_svc.domain.job_limits import Concurrency, Rate
from hms_svc.domain.uniqueness import Debounce, Unique
from hms_svc.sdk import registry
from hms_svc.sdk.job_type import NO_UPGRADES, Handler, Isolate, Upgrade

if TYPE_CHECKING:
    from pydantic import BaseModel

    from hms_svc.domain.overlap import Overlap
    from hms_svc.sdk.running_job import RunningJob

ModelT = TypeVar("ModelT", bound="BaseModel")
PayloadT = TypeVar("PayloadT")
ResultT = TypeVar("ResultT")
Injected = ParamSpec("Injected")
"""The parameters after the running job, which take resources."""


class Declaring(Generic[PayloadT]):
    """The decorator of a handler: the handler takes the running job with the declared payload, and resources, or nothing."""

    def __init__(self, own: Registry, type: str, declare: Callable[[Handler], Handler]) -> None:
        self._registry = own
        self._type = type
        self._declare = declare

    @overload
    def __call__(
        self,
        handler: Callable[
            Concatenate[RunningJob[PayloadT], Injected], Coroutine[Any, Any, ResultT]
        ],
        /,
    ) -> DeclaredType[
        PayloadT,
        ResultT,
        Callable[Concatenate[RunningJob[PayloadT], Injected], Coroutine[Any, Any, ResultT]],
    ]: ...
    @overload
    def __call__(
        self, handler: Callable[[], Coroutine[Any, Any, ResultT]], /
    ) -> DeclaredType[PayloadT, ResultT, Callable[[], Coroutine[Any, Any, ResultT]]]: ...
    @overload
    def __call__(
        self, handler: Callable[Concatenate[RunningJob[PayloadT], Injected], ResultT], /
    ) -> DeclaredType[
        PayloadT, ResultT, Callable[Concatenate[RunningJob[PayloadT], Injected], ResultT]
    ]: ...
    @overload
    def __call__(
        self, handler: Callable[[], ResultT], /
    ) -> DeclaredType[PayloadT, ResultT, Callable[[], ResultT]]: ...
    def __call__(self, handler: Handler, /) -> Any:
        """Declare the handler, and return its type."""
        self._declare(handler)
        declared = self._registry.get(self._type)
        assert declared is not None
        return DeclaredType(declared)


class Registry(registry.Registry):
    """The job types of one application."""

    @overload  # type: ignore[override] # a declared type is called as the handler that the other returns, but is none
    def job(
        self,
        type: str,
        *,
        payload: type[ModelT],
        validators: Sequence[Callable[[ModelT], object]] = (),
        action: str | None = None,
        retry: RetryPolicy | None = None,
        timeout_seconds: float | None = None,
        priority: int = 0,
        slots: int | None = None,
        weight: int = 1,
        unique: Callable[[ModelT], str] | Unique[ModelT] | Debounce[ModelT] | None = None,
        limits: Sequence[Concurrency[ModelT] | Rate[ModelT]] = (),
        schedule: str | None = None,
        schedule_data: Any = None,
        time_zone: str = "UTC",
        overlap: Overlap = "allow",
        catch_up: int = 1,
        replace: bool = False,
        version: int = FIRST_VERSION,
        upgrade: Mapping[int, Upgrade] = NO_UPGRADES,
        isolate: Isolate | None = None,
        memory_mb: int | None = None,
        jobs_per_process: int | None = None,
    ) -> Declaring[ModelT]: ...
    @overload
    def job(
        self,
        type: str,
        *,
        payload: None = None,
        validators: Sequence[Callable[[Any], object]] = (),
        action: str | None = None,
        retry: RetryPolicy | None = None,
        timeout_seconds: float | None = None,
        priority: int = 0,
        slots: int | None = None,
        weight: int = 1,
        unique: Callable[[Any], str] | Unique[Any] | Debounce[Any] | None = None,
        limits: Sequence[Concurrency[Any] | Rate[Any]] = (),
        schedule: str | None = None,
        schedule_data: Any = None,
        time_zone: str = "UTC",
        overlap: Overlap = "allow",
        catch_up: int = 1,
        replace: bool = False,
        version: int = FIRST_VERSION,
        upgrade: Mapping[int, Upgrade] = NO_UPGRADES,
        isolate: Isolate | None = None,
        memory_mb: int | None = None,
        jobs_per_process: int | None = None,
    ) -> Declaring[Any]: ...
    def job(self, type: str, **declared: Any) -> Any:
        """Declare the decorated function as the handler of a type, and return the declared type.

        The arguments are those of `hms_svc.sdk.registry.Registry.job`. Raises BadInput for an invalid one.
        """
        return Declaring(self, type, super().job(type, **declared))
