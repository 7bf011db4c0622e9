"""Resources are found by type when an application is loaded, and what does not fit is told by file and line."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NewType

import pytest

from hms_svc import BadInput, Registry, Run, RunningJob
from hms_svc.sdk.injection import Injection
from hms_svc.sdk.registry import Registry as PlainRegistry

if TYPE_CHECKING:
    from decimal import Decimal


class Pool:
    pass


class Clock:
    pass


class Mailer:
    pass


ReadPool = NewType("ReadPool", Pool)


async def pool(clock: Clock) -> AsyncIterator[Pool]:
    yield Pool()


def read_pool(whole: Pool) -> Iterator[ReadPool]:
    yield ReadPool(whole)


def clock() -> Clock:
    return Clock()


async def start_up() -> None:
    pass


def registry_of(*resources: Callable[..., Any]) -> Registry:
    registry = Registry()
    for resource in resources:
        registry.resource(resource)
    return registry


def names(registry: PlainRegistry) -> list[str]:
    return [each.function.__name__ for each in Injection(registry).resources]


def refusal(registry: Registry) -> str:
    with pytest.raises(BadInput) as caught:
        Injection(registry)
    return str(caught.value)


def test_resources_are_opened_after_those_that_they_need() -> None:
    registry = registry_of(start_up, read_pool, pool, clock)

    @registry.job("permit.apply")
    async def apply(job: RunningJob, *, reads: ReadPool, pause: float = 1.0) -> None:
        pass

    assert names(registry) == ["start_up", "clock", "pool", "read_pool"]
    needs = Injection(registry).types["permit.apply"].handler.needs
    assert needs == {"reads": read_pool}


def test_a_parameter_with_a_default_gets_a_resource_if_there_is_one() -> None:
    registry = registry_of(clock)

    @registry.job("permit.apply")
    async def apply(job: RunningJob, at: Clock | None = None, clock: Clock = Clock()) -> None:  # noqa: B008 - an example
        pass

    assert Injection(registry).types["permit.apply"].handler.needs == {"clock": clock}


def test_a_wrapped_handler_gets_what_the_function_beneath_declares() -> None:
    registry = registry_of(clock)

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def call(*arguments: Any, **named: Any) -> Any:
            return await function(*arguments, **named)

        return call

    @registry.job("permit.apply")
    @logged
    async def apply(job: RunningJob, at: Clock) -> None:
        pass

    assert Injection(registry).types["permit.apply"].handler.needs == {"at": clock}


def test_types_of_enclosing_functions_are_found_if_the_function_uses_them() -> None:
    class Local:
        pass

    registry = Registry()

    @registry.resource
    def local() -> Local:
        return Local()

    @registry.job("permit.apply")
    def apply(job: RunningJob, found: Local) -> bool:
        return isinstance(found, Local)

    assert names(registry) == ["local"]


def test_each_registry_has_its_own_resource_before_those_of_others() -> None:
    def other_clock() -> Clock:
        return Clock()

    own, app = registry_of(other_clock), registry_of(clock, pool)
    app.include(own)
    for registry, type in ((own, "own.job"), (app, "app.job")):

        @registry.job(type)
        def handle(job: RunningJob, at: Clock) -> None:
            pass

    app.include(own)
    found = Injection(app).types
    assert found["own.job"].handler.needs == {"at": other_clock}
    assert found["app.job"].handler.needs == {"at": clock}


def test_only_resources_of_the_served_types_are_opened() -> None:
    first, second, shared = registry_of(clock), registry_of(start_up), registry_of(pool)
    app = Registry()
    first.job("first.job")(lambda job: None)
    second.job("second.job")(lambda job: None)
    for registry in (first, second, shared):
        app.include(registry)
    assert names(app) == ["clock", "start_up"]
    assert names(app.only(["first.job"])) == ["clock"]

    async def needs_pool(job: RunningJob, pool: Pool) -> None:
        pass

    app.job("app.job")(needs_pool)
    assert names(app.only(["app.job"])) == ["clock", "pool"]


def test_a_missing_resource_is_named_with_what_there_is() -> None:
    registry = registry_of(clock)

    @registry.job("permit.apply")
    async def apply(job: RunningJob, mailer: Mailer) -> None:
        pass

    said = refusal(registry)
    assert said.startswith("tests/unit/test_injection.py:")
    assert "type permit.apply: handler apply: parameter mailer: no resource provides" in said
    assert "Mailer; there are: " in said
    assert "Clock by clock (tests/unit/test_injection.py:" in said


def test_two_resources_of_one_type_are_refused() -> None:
    def second_clock() -> Clock:
        return Clock()

    registry = registry_of(clock, second_clock)

    @registry.job("permit.apply")
    async def apply(job: RunningJob, at: Clock) -> None:
        pass

    said = refusal(registry)
    assert "parameter at: more than one resource provides" in said
    assert 'NewType("ReadPool", Pool)' in said


def test_resources_that_need_each_other_are_refused() -> None:
    def first(second: Pool) -> Clock:
        return Clock()

    def second(first: Clock) -> Pool:
        return Pool()

    said = refusal(registry_of(first, second))
    assert "resources need each other: first (tests/unit/" in said
    assert said.count(" needs ") == 2


def test_a_type_that_is_imported_for_checking_only_is_told() -> None:
    registry = registry_of(clock)

    @registry.job("permit.apply")
    async def apply(job: RunningJob, amount: Decimal) -> None:
        pass

    said = refusal(registry)
    assert "parameter amount: its type Decimal cannot be resolved (NameError" in said
    assert "not below `if TYPE_CHECKING:`" in said


def test_the_first_parameter_is_the_job() -> None:
    registry = registry_of(clock)

    @registry.job("permit.apply")  # type: ignore[arg-type]  # the mistake
    async def apply(at: Clock) -> None:
        pass

    assert "the first parameter takes the running job" in refusal(registry)


def test_parameters_of_middleware_and_resources_need_a_type() -> None:
    def tool(pool, clock: Clock) -> Mailer:  # type: ignore[no-untyped-def]  # the mistake
        return Mailer()

    assert "resource tool: parameter pool has no type" in refusal(registry_of(tool, clock))


def no_type():  # type: ignore[no-untyped-def]  # the mistake
    yield 1


async def wrong_type() -> Pool:  # type: ignore[misc]  # the mistake
    yield Pool()


@asynccontextmanager
async def managed() -> AsyncIterator[Pool]:
    yield Pool()


def anything() -> Any:
    return 1


def unknown() -> Decimal:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        (5, "registry.resource 5 is not a function"),
        (Pool, "is not a function"),
        (no_type, "resource no_type: its return type is not annotated"),
        (wrong_type, "resource wrong_type: it yields, and its return type is "),
        (managed, "and it does not yield"),
        (anything, "its type typing.Any is no type that one could ask for"),
        (unknown, "its return type Decimal cannot be resolved (NameError"),
    ],
)
def test_what_cannot_be_a_resource_is_refused(resource: Any, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        Injection(registry_of(resource))
    assert said in str(caught.value)


async def with_too_many(job: RunningJob, run: Run, more) -> Any:  # type: ignore[no-untyped-def]  # the mistake
    return await run()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (5, "5 is not an async function: async def name(job: RunningJob, run: Run)"),
        (clock, "middleware clock is not an async function"),
        (start_up, "middleware start_up: it must take the running job and run"),
        (with_too_many, "it must take the running job and run"),
    ],
)
def test_what_cannot_be_middleware_is_refused(function: Any, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        Registry().middleware(function)
    assert said in str(caught.value)
