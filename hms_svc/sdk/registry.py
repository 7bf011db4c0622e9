"""Type to handler: what a service declares about each type of job that it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import BadInput, BadSetting
from hms_svc.domain.globs import Glob, has_globs
from hms_svc.domain.job import FIRST_VERSION
from hms_svc.domain.job_limits import Concurrency, Limit, Rate, limit_of
from hms_svc.domain.uniqueness import Debounce, KeyFunction, Unique
from hms_svc.sdk.app_settings import check_section_name, check_settings
from hms_svc.sdk.declarations import (
    check_declaration,
    declaration_fault,
    read_schedule,
)
from hms_svc.sdk.job_type import NO_UPGRADES, Handler, Isolate, JobType, Upgrade, Validator
from hms_svc.sdk.resources import Scopes, check_middleware, check_resource

if TYPE_CHECKING:
    from pydantic import BaseModel

    from hms_svc.domain.overlap import Overlap


HandlerT = TypeVar("HandlerT", bound=Handler)
ModelT = TypeVar("ModelT", bound="type[BaseModel]")
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Replacement(msgspec.Struct, frozen=True):
    """A declaration that deliberately replaced an older one of its type."""

    older: JobType
    newer: JobType

    def __str__(self) -> str:
        return f"type {self.newer.type} of {self.newer.place} replaces that of {self.older.place}"


class Registry:
    """The job types of one application."""

    def __init__(self) -> None:
        self._types: dict[str, JobType] = {}
        self._replacements: list[Replacement] = []
        self.scopes = Scopes()

    def job(
        self,
        type: str,
        *,
        payload: type[BaseModel] | None = None,
        validators: Sequence[Validator] = (),
        action: str | None = None,
        retry: RetryPolicy | None = None,
        timeout_seconds: float | None = None,
        priority: int = 0,
        slots: int | None = None,
        weight: int = 1,
        unique: KeyFunction | Unique[Any] | Debounce[Any] | None = None,
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
    ) -> Callable[[HandlerT], HandlerT]:
        """Declare the decorated function as the handler of a type.

        `payload` is the pydantic model of the data; `validators` must all
        accept it; `action` is vetted by governance after them, before the handler.
        `unique` takes the payload and returns a key: a job without a
        `unique_key` gets this one, and while an unfinished job holds it,
        another of the type is rejected. `Unique` and `Debounce` have further rules. `limits` hold in the whole fleet: a job that has to wait
        for one stays queued, and does not hold back others. `priority` applies to jobs without
        one. `slots` is how many jobs of the type one worker runs at the same time, at most: never
        more than three quarters of its slots if it serves other types, too. Of types whose jobs wait, one with
        twice the `weight` gets twice as many of a worker's claims.
        `schedule` is five cron fields, in the zone `time_zone`: at each
        tick one job with `schedule_data` is enqueued, however many workers run; with `overlap="skip"`
        none while the one before has not ended. Of the ticks that nothing decided on within a minute,
        the newest `catch_up` are made up for.
        `replace` lets this declaration replace that of another registry,
        or a built-in type. `version` is that of the payload's form; `upgrade` maps each older one to a
        plain function from its data to that of the next version. With `isolate="process"` the handler
        runs in a process of its own, which is killed at the timeout, at a cancellation and when the
        lease is lost; `memory_mb` is how much memory it may use beyond what it has when it begins,
        `jobs_per_process` after how many jobs a new process takes its place. Raises BadInput for an invalid argument, naming
        file, line, type and argument.
        """
        if callable(type):
            message = 'registry.job takes the name of the type as its first argument: @registry.job("fee.charge")'
            raise declaration_fault("?", type, message)

        def declare(handler: HandlerT) -> HandlerT:
            given: Any = validators
            given_limits: Any = limits
            self.add(
                JobType(
                    type=type,
                    handler=handler,
                    payload=payload,
                    validators=tuple(given) if _is_sequence(given) else given,
                    action=action,
                    retry=retry,
                    timeout_seconds=timeout_seconds,
                    priority=priority,
                    slots=slots,
                    weight=weight,
                    unique=unique,
                    limits=tuple(given_limits) if _is_sequence(given_limits) else given_limits,
                    schedule=read_schedule(type, handler, schedule, time_zone),
                    schedule_data=schedule_data,
                    overlap=overlap,
                    catch_up=catch_up,
                    replace=replace,
                    version=version,
                    upgrade=upgrade,
                    isolate=isolate,
                    memory_mb=memory_mb,
                    jobs_per_process=jobs_per_process,
                )
            )
            return handler

        return declare

    def settings(self, name: str) -> Callable[[ModelT], ModelT]:
        """Declare the decorated pydantic model as the application's settings.

        They are read from the table `[apps.NAME]` of the configuration file and from the
        environment, HMS_SVC_APPS__NAME__KEY, and injected like a resource. Raises BadInput
        for another class, or a name that is used.
        """
        check_section_name(name)

        def declare(model: ModelT) -> ModelT:
            check_settings(name, model)
            if name in self.scopes.own.settings:
                raise BadInput(f"the settings {name} are declared twice in one registry")
            self.scopes.own.settings[name] = model
            return model

        return declare

    def resource(self, function: FunctionT) -> FunctionT:
        """Declare the decorated function as a resource, which each worker opens once, by its type.

        It is a generator function, plain or `async`, that yields the resource and then closes it, or
        a function that returns it; its return type is annotated. Handlers, middleware and other
        resources get it for a parameter that is annotated with the type. Raises BadInput for
        what is no such function.
        """
        check_resource(function)
        self.scopes.own.resources.append(function)
        return function

    def middleware(self, function: FunctionT) -> FunctionT:
        """Declare the decorated `async` function as middleware, around each job of this registry.

        It takes the running job and `run`, and returns what `await run()` returned, or something
        else in its place. The first one is the outermost; those of a registry are around those
        of the registries that it includes. Raises BadInput for what is no such function.
        """
        check_middleware(function)
        self.scopes.own.middleware.append(function)
        return function

    def add(self, job_type: JobType) -> None:
        """Add one declaration; BadInput for a type that is already declared, or for an invalid argument."""
        check_declaration(job_type)
        older = self._types.get(job_type.type)
        if older is not None:
            raise BadInput(f"{job_type.place}: {_twice(older)}")
        self._types[job_type.type] = job_type
        self.scopes.declare(job_type.type)

    def include(self, other: Registry) -> None:
        """Add all declarations of another registry; its jobs get the middleware of this one, too.

        Raises BadSetting for a type that is already declared here, unless the other one
        declares that it replaces it.
        """
        for newer in other:
            older = self._types.get(newer.type)
            if older is not None and older is not newer:
                if not newer.replace:
                    raise BadSetting(
                        f"{newer.place}: {_twice(older)}; use another name, or replace it "
                        "with job(…, replace=True)"
                    )
                self._replacements.append(Replacement(older, newer))
            self._types[newer.type] = newer
        self.scopes.include(other.scopes)

    @property
    def replacements(self) -> tuple[Replacement, ...]:
        """The declarations that replaced others through `include`, in their order."""
        return tuple(self._replacements)

    def get(self, type: str) -> JobType | None:
        """Return the declaration of a type, None if there is none."""
        return self._types.get(type)

    def only(self, types: Sequence[str]) -> Registry:
        """Return a registry of just the types that are named.

        A name may be a pattern with `*` and `?`; `!` in front leaves out what it matches, of all types if
        no other name is given. BadInput for a name that matches nothing, and if nothing is left.
        """
        wanted = [name for name in types if not name.startswith("!")]
        chosen = {type for name in wanted for type in self._matching(name)} or set(self._types)
        for name in types:
            if name.startswith("!"):
                chosen -= set(self._matching(name[1:]))
        if not chosen:
            raise BadInput(f"{', '.join(types)} leaves no type to serve")
        found = Registry()
        found.scopes = self.scopes
        found._types = {type: each for type, each in self._types.items() if type in chosen}
        return found

    def _matching(self, name: str) -> list[str]:
        glob = Glob(name)
        if found := [type for type in self._types if glob.matches(type, _unmeasured)]:
            return found
        known = ", ".join(sorted(self._types))
        matches = "no type matches" if has_globs(name) else "no handler for type"
        raise BadInput(f"{matches} {name!r}; the types are: {known}")

    def __iter__(self) -> Iterator[JobType]:
        return iter(self._types.values())

    def __len__(self) -> int:
        return len(self._types)


def _unmeasured(characters: int) -> None:
    """Match the few types of an application without a limit on the work."""


def slots_by_type(registry: Registry, slots: int) -> dict[str, int]:
    """Return how many of a worker's slots each type may use.

    A quarter of them, and at least one, is kept free of each type for the others: jobs that wait for
    something that hangs block only their own type. A type that is served alone may use them all.
    """
    kept = max(1, slots // 4) if len(registry) > 1 else 0
    most = max(1, slots - kept)
    return {declared.type: min(declared.slots or most, most) for declared in registry}


def priorities_of(registry: Registry) -> tuple[tuple[str, int], ...]:
    """Return the types that declare a priority other than 0, each with its priority."""
    return tuple((declared.type, declared.priority) for declared in registry if declared.priority)


def limits_of(registry: Registry) -> tuple[tuple[str, tuple[Limit, ...]], ...]:
    """Return the types that declare limits for the whole type, each with these limits."""
    found = {
        declared.type: tuple(limit_of(each) for each in declared.limits if each.key is None)
        for declared in registry
    }
    return tuple((type, limits) for type, limits in found.items() if limits)


def keyed_limits_of(registry: Registry) -> tuple[tuple[str, tuple[Limit | None, ...]], ...]:
    """Return the types that declare limits with a key, each with these, and None in place of others."""
    found = {
        declared.type: tuple(limit_of(each) if each.key else None for each in declared.limits)
        for declared in registry
    }
    return tuple((type, limits) for type, limits in found.items() if any(limits))


def limited_types(registry: Registry) -> frozenset[str]:
    """Return the types that declare any limit."""
    return frozenset(declared.type for declared in registry if declared.limits)


def _twice(older: JobType) -> str:
    return f"type {older.type} is declared twice: {older.place} declares it as well"


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
