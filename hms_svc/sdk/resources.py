"""What a registry declares beside its job types: settings, resources, and middleware."""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import suppress
from types import NoneType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin, get_type_hints

from hms_svc.domain.errors import BadInput
from hms_svc.sdk.source_places import function_of, place_of

if TYPE_CHECKING:
    from pydantic import BaseModel

Function = Callable[..., Any]
_ANYTHING: Final = (Any, object, "Any", "typing.Any", "object")
_ITERATORS: Final = (
    AsyncIterator,
    AsyncGenerator,
    AsyncIterable,
    Iterator,
    Generator,
    Iterable,
)


class ResourceScope:
    """Settings, resources and middleware of one registry, each in the order of their declaration."""

    def __init__(self) -> None:
        self.settings: dict[str, type[BaseModel]] = {}
        self.resources: list[Function] = []
        self.middleware: list[Function] = []


class Scopes:
    """The scope of a registry and those that it includes: which registry declares which type."""

    def __init__(self) -> None:
        self.own = ResourceScope()
        self._paths: dict[ResourceScope, tuple[ResourceScope, ...]] = {self.own: (self.own,)}
        self._homes: dict[str, ResourceScope] = {}

    def declare(self, type: str) -> None:
        """Note that a type is declared in this registry itself."""
        self._homes[type] = self.own

    def include(self, other: Scopes) -> None:
        """Add the scopes of another registry beneath this one's."""
        for scope, path in other._paths.items():
            self._paths[scope] = (self.own, *path)
        self._homes |= other._homes

    def all(self) -> tuple[ResourceScope, ...]:
        """Return all scopes: this registry's first."""
        return tuple(self._paths)

    def path_of(self, scope: ResourceScope) -> tuple[ResourceScope, ...]:
        """Return the scopes from this registry's to the given one."""
        return self._paths[scope]

    def path_of_type(self, type: str) -> tuple[ResourceScope, ...]:
        """Return the scopes from this registry's to the one that declares the type."""
        return self._paths[self._homes[type]]


def check_resource(function: Any) -> None:
    """Raise BadInput for what cannot be a resource."""
    if isinstance(function, type) or not callable(function):
        raise BadInput(
            f"registry.resource {function!r:.80} is not a function: decorate the function that opens "
            "the resource, without parentheses: @registry.resource"
        )
    if inspect.signature(function).return_annotation is inspect.Signature.empty:
        raise BadInput(
            f"{described('resource', function)}: its return type is not annotated: what it yields or "
            "returns is injected by this type (-> AsyncIterator[Pool]); -> None for what nobody needs"
        )


def check_middleware(function: Any) -> None:
    """Raise BadInput for what cannot be middleware."""
    if not callable(function) or not inspect.iscoroutinefunction(function_of(function)):
        named = f"{function!r:.80}" if not callable(function) else described("middleware", function)
        raise BadInput(
            f"{named} is not an async function: async def name(job: RunningJob, run: Run) -> Any"
        )
    if not takes_positional(function, 2):
        raise BadInput(
            f"{described('middleware', function)}: it must take the running job and run, and further "
            "parameters only for resources, each annotated with its type"
        )


def takes_positional(function: Any, count: int) -> bool:
    """Return whether a function takes so many positional arguments, and beyond these only resources.

    A parameter for a resource is annotated with a type, and can be given by name.
    """
    try:
        signature = inspect.signature(function)
        needed = {
            parameter.name: None
            for parameter in list(signature.parameters.values())[count:]
            if parameter.default is inspect.Parameter.empty
            and parameter.kind in _BY_NAME
            and parameter.annotation is not inspect.Parameter.empty
            and parameter.annotation not in _ANYTHING
        }
        signature.bind(*(None,) * count, **needed)
    except (TypeError, ValueError):
        return False
    return True


_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def parameters_for_resources(function: Function, skipped: int) -> Iterator[inspect.Parameter]:
    """Return the parameters, after the first ones, that resources are passed to."""
    for parameter in list(inspect.signature(function).parameters.values())[skipped:]:
        is_annotated = parameter.annotation is not inspect.Parameter.empty
        if parameter.kind in _BY_NAME and (is_annotated or is_required(parameter)):
            yield parameter


def is_required(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter has no default value."""
    return parameter.default is inspect.Parameter.empty


def type_of(function: Function, name: str, annotation: object) -> Any:
    """Return the type that an annotation of a function names, resolved in the function's module.

    Raises NameError, or whatever evaluating the annotation raises.
    """
    beneath = function_of(function)
    holder = SimpleNamespace(__annotations__={name: annotation})
    names: dict[str, Any] = getattr(beneath, "__globals__", {})
    return get_type_hints(holder, names, _enclosing_names(beneath))[name]


def _enclosing_names(function: object) -> dict[str, Any]:
    """Return what a function uses of the functions around it, as far as it has a value by now."""
    found: dict[str, Any] = {}
    if inspect.isfunction(function):
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            with suppress(ValueError):  # it has none yet
                found[name] = cell.cell_contents
    return found


def provided_type(function: Function) -> Any:
    """Return the type that a resource provides, None for one that provides nothing.

    Raises BadInput naming the function if its return type cannot be used.
    """
    named = described("resource", function)
    annotation = inspect.signature(function).return_annotation
    try:
        returned = type_of(function, "return", annotation)
    except Exception as error:
        raise BadInput(
            f"{named}: its return type {annotation!s:.80} {unresolved(error)}"
        ) from error
    generates = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    is_iterator = get_origin(returned) in _ITERATORS
    if generates and not is_iterator:
        kind = "AsyncIterator" if inspect.isasyncgenfunction(function) else "Iterator"
        right = f"{kind}[{type_name(returned)}]"
        raise BadInput(
            f"{named}: it yields, and its return type is {type_name(returned)}, not {right}"
        )
    if is_iterator and not generates:
        raise BadInput(
            f"{named}: its return type is {type_name(returned)}, and it does not yield: write an "
            "(async) generator function, without @contextmanager or @asynccontextmanager"
        )
    found = get_args(returned)[0] if is_iterator else returned
    if found in _ANYTHING:
        raise BadInput(f"{named}: its type {type_name(found)} is no type that one could ask for")
    return None if found is NoneType else found


def unresolved(error: Exception) -> str:
    """Return why an annotation names no type, as the end of a sentence."""
    return (
        f"cannot be resolved ({type(error).__name__}: {error}): import it in that module, at run "
        "time, not below `if TYPE_CHECKING:`"
    )


def described(kind: str, function: object) -> str:
    """Return the place and name of a function, as in `permits.py:12: resource pool`."""
    name = getattr(function, "__name__", type(function).__name__)
    return f"{place_of(function) or '?'}: {kind} {name}"


def type_name(found: Any) -> str:
    """Return a type as in source code, with the module of a class."""
    if isinstance(found, type) and not get_args(found):
        module = "" if found.__module__ == "builtins" else f"{found.__module__}."
        return module + found.__qualname__
    return str(found)
