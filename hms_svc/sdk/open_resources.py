"""Opening the resources of an application for one worker, and closing them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any, Final

import msgspec

from hms_svc.domain.app_sections import Sections
from hms_svc.domain.errors import ResourceFailed
from hms_svc.sdk.app_settings import read_app_settings
from hms_svc.sdk.injection import NONE_REPLACED, Injected, Injection
from hms_svc.sdk.job_type import Handler
from hms_svc.sdk.middleware import Middleware
from hms_svc.sdk.own_thread import on_own_thread
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.resources import Function, described
from hms_svc.sdk.source_places import function_of
from hms_svc.sdk.value_checks import is_async

log: Final = logging.getLogger("hms_svc.runtime")
OPEN_SECONDS: Final = 60.0
CLOSE_SECONDS: Final = 3.0
Close = Callable[[], Awaitable[Any]]


class BoundType(msgspec.Struct, frozen=True):
    """Handler and middleware of a job type, with their resources."""

    handler: Handler
    middleware: tuple[Middleware, ...] = ()


@asynccontextmanager
async def opened_resources(
    registry: Registry, sections: Sections, replaced: Mapping[Any, Function] = NONE_REPLACED
) -> AsyncIterator[Mapping[str, BoundType]]:
    """Open the resources that a worker with this registry needs, and close them again.

    `replaced` has functions that open other resources in place of those of their types; settings
    in it are not read.

    Return what runs a job of each type that has resources or middleware. `sections` are the
    settings of applications. Raises BadSetting for wrong ones, and ResourceFailed for a resource
    that cannot be opened, after those before it were closed.
    """
    injection = Injection(registry, replaced)
    values: dict[Function, Any] = dict(
        read_app_settings(registry.scopes, sections, without=replaced).items()
    )
    to_close: list[tuple[Function, Close]] = []
    try:
        for resource in injection.resources:
            value, close = await _open(resource.function, _arguments(resource, values))
            values[resource.function] = value
            if close is not None:
                to_close.append((resource.function, close))
        yield {
            type: BoundType(
                _bound(functions.handler, values),
                tuple(_bound(each, values) for each in functions.middleware),
            )
            for type, functions in injection.types.items()
        }
    finally:
        for function, close in reversed(to_close):
            await _close(function, close)


def _arguments(injected: Injected, values: Mapping[Function, Any]) -> dict[str, Any]:
    return {name: values[resource] for name, resource in injected.needs.items()}


def _bound(injected: Injected, values: Mapping[Function, Any]) -> Function:
    """Return the function with its resources; one without any as it is."""
    arguments = _arguments(injected, values)
    return partial(injected.function, **arguments) if arguments else injected.function


async def _open(function: Function, arguments: dict[str, Any]) -> tuple[Any, Close | None]:
    limit = asyncio.timeout(OPEN_SECONDS)
    try:
        async with limit:
            return await _entered(function, arguments)
    except BaseException as error:
        if not _is_fault(error):
            raise
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        if limit.expired():
            reason = f"it did not open within {OPEN_SECONDS:g} s"
        message = f"{described('resource', function)} could not be opened: {reason}"
        log.error(message, exc_info=error)
        raise ResourceFailed(message) from error


async def _entered(function: Function, arguments: dict[str, Any]) -> tuple[Any, Close | None]:
    """Open one resource; plain functions run on a thread of their own."""
    beneath: Any = function_of(function)
    if isasyncgenfunction(beneath):
        stream = asynccontextmanager(function)(**arguments)
        return await stream.__aenter__(), partial(stream.__aexit__, None, None, None)
    if isgeneratorfunction(beneath):
        plain = contextmanager(function)(**arguments)
        close = partial(on_own_thread, plain.__exit__, None, None, None)
        return await on_own_thread(plain.__enter__), close
    if is_async(function):
        return await function(**arguments), None
    return await on_own_thread(function, **arguments), None


async def _close(function: Function, close: Close) -> None:
    """Close one resource; what fails is logged, so that the others are closed as well."""
    limit = asyncio.timeout(CLOSE_SECONDS)
    try:
        async with limit:
            await close()
    except BaseException as error:
        if not _is_fault(error):
            raise
        named = described("resource", function)
        if limit.expired():
            log.error("%s was not closed within %g s", named, CLOSE_SECONDS)
        else:
            log.error("%s could not be closed", named, exc_info=error)


def _is_fault(error: BaseException) -> bool:
    """Return whether an error is the resource's own, and no request to this process to end."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return isinstance(error, Exception | SystemExit)
