"""Which resource each function of an application gets: resolved and checked once, by type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter, signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.sdk.resources import (
    Function,
    ResourceScope,
    described,
    is_required,
    parameters_for_resources,
    provided_type,
    type_name,
    type_of,
    unresolved,
)
from hms_svc.sdk.source_places import name_of

if TYPE_CHECKING:
    from hms_svc.sdk.registry import Registry

Needs: TypeAlias = Mapping[str, Function]
"""The resource of each parameter, by the parameter's name."""
Path: TypeAlias = tuple[ResourceScope, ...]
NONE_REPLACED: Final[Mapping[Any, Function]] = MappingProxyType({})
"""What takes the place of resources and settings, by type: nothing."""


class Injected(msgspec.Struct, frozen=True):
    """A function of an application, and the resources of its parameters."""

    function: Function
    needs: Needs


class InjectedType(msgspec.Struct, frozen=True):
    """Handler and middleware of a job type, the outermost first."""

    handler: Injected
    middleware: tuple[Injected, ...]


class _Resource(msgspec.Struct, frozen=True):
    """A resource, the scope that declares it, and the type that it provides."""

    function: Function
    scope: ResourceScope
    type: Any

    def __str__(self) -> str:
        return f"{type_name(self.type)} by {name_of(self.function)}"


class Injection:
    """The resources that a worker with this registry opens, and the functions that get them.

    A worker opens all resources of the registries whose types it serves, and what these need of
    others. The model of an application's settings is the resource of its type. Raises BadInput, naming file and line, for a parameter whose type no resource or
    more than one provides, and for resources that need each other. `replaced` has, by type, functions
    that open a resource in place of the declared one.
    """

    def __init__(
        self, registry: Registry, replaced: Mapping[Any, Function] = NONE_REPLACED
    ) -> None:
        self._scopes = registry.scopes
        models = [
            _Resource(model, scope, model)
            for scope in self._scopes.all()
            for model in scope.settings.values()
        ]
        openers = [
            _Resource(function, scope, provided_type(function))
            for scope in self._scopes.all()
            for function in scope.resources
        ]
        settings = [each for each in models if each.type not in replaced]
        resources = [
            _Resource(replaced.get(each.type, each.function), each.scope, each.type)
            for each in (*(each for each in models if each.type in replaced), *openers)
        ]
        self._declared = [*settings, *resources]
        self._refuse_unknown(replaced)
        needs = {
            each.function: self._needs(
                described("resource", each.function),
                each.function,
                self._scopes.path_of(each.scope),
                0,
            )
            for each in resources
        }
        _refuse_cycles(needs)
        self.types: dict[str, InjectedType] = {}
        served: dict[ResourceScope, None] = {}
        for declared in registry:
            path = self._scopes.path_of_type(declared.type)
            served |= dict.fromkeys(path)
            self._add_type(declared.type, declared.handler, path)
        wanted = [each.function for each in resources if each.scope in served]
        for functions in self.types.values():
            for function in (functions.handler, *functions.middleware):
                wanted += function.needs.values()
        self.resources: Sequence[Injected] = _in_order(wanted, needs)
        """The resources to open, each after those that it needs."""

    def _refuse_unknown(self, replaced: Mapping[Any, Function]) -> None:
        """Raise BadInput for a replacement of what nothing declares."""
        for wanted in replaced:
            if all(each.type != wanted for each in self._declared):
                raise BadInput(
                    f"there is no resource of type {type_name(wanted)} to replace; {self._known()}"
                )

    def _known(self) -> str:
        known = ", ".join(str(each) for each in self._declared if each.type is not None)
        return f"there are: {known}" if known else "no resource is declared"

    def _add_type(self, type: str, handler: Function, path: Path) -> None:
        named = described(f"type {type}: handler", handler)
        found = self._needs(named, handler, path, 1)
        self._check_first(named, handler, path)
        middleware = tuple(
            Injected(each, self._needs(described("middleware", each), each, path, 2))
            for scope in path
            for each in scope.middleware
        )
        if found or middleware:
            self.types[type] = InjectedType(Injected(handler, found), middleware)

    def _needs(self, named: str, function: Function, path: Path, skipped: int) -> Needs:
        needs = {}
        for parameter in parameters_for_resources(function, skipped):
            found = self._resource_for(named, function, parameter, path)
            if found is not None:
                needs[parameter.name] = found.function
        return needs

    def _resource_for(
        self, named: str, function: Function, parameter: Parameter, path: Path
    ) -> _Resource | None:
        named = f"{named}: parameter {parameter.name}"
        if parameter.annotation is Parameter.empty:
            raise BadInput(f"{named} has no type: annotate it with the type of a resource")
        try:
            wanted = type_of(function, parameter.name, parameter.annotation)
        except Exception as error:
            if not is_required(parameter):
                return None
            raise BadInput(
                f"{named}: its type {parameter.annotation!s:.80} {unresolved(error)}"
            ) from error
        found = self._nearest(wanted, path)
        if len(found) > 1:
            raise BadInput(
                f"{named}: more than one resource provides {type_name(wanted)}: "
                f"{', '.join(name_of(each.function) for each in found)}; give each a type of its "
                'own, such as NewType("ReadPool", Pool)'
            )
        if not found and is_required(parameter):
            raise BadInput(f"{named}: no resource provides {type_name(wanted)}; {self._known()}")
        return found[0] if found else None

    def _nearest(self, wanted: Any, path: Path) -> list[_Resource]:
        """Return the resources of a type in the nearest registry that has any, else in all others."""
        fitting = [each for each in self._declared if each.type is not None and each.type == wanted]
        for scope in reversed(path):
            if near := [each for each in fitting if each.scope is scope]:
                return near
        return fitting

    def _check_first(self, named: str, handler: Function, path: Path) -> None:
        """Raise BadInput if the first parameter, which takes the running job, is annotated as a resource."""
        first = next(iter(signature(handler).parameters.values()), None)
        if first is None or not self._declared or first.annotation is Parameter.empty:
            return
        try:
            wanted = type_of(handler, first.name, first.annotation)
        except Exception:  # noqa: BLE001 - it may be imported for type checking only
            return
        if self._nearest(wanted, path):
            raise BadInput(
                f"{named}: parameter {first.name} is annotated with {type_name(wanted)}, and the first "
                "parameter takes the running job: put the job before it"
            )


def _refuse_cycles(needs: Mapping[Function, Needs]) -> None:
    """Raise BadInput for resources that need each other, naming all of them."""
    done: set[Function] = set()

    def visit(function: Function, path: tuple[Function, ...]) -> None:
        if function in path:
            cycle = (*path[path.index(function) :], function)
            names = " needs ".join(name_of(each) for each in cycle)
            raise BadInput(f"{described('resource', function)}: resources need each other: {names}")
        if function not in done:
            for need in needs.get(function, {}).values():
                visit(need, (*path, function))
            done.add(function)

    for function in needs:
        visit(function, ())


def _in_order(wanted: Sequence[Function], needs: Mapping[Function, Needs]) -> list[Injected]:
    found: dict[Function, Injected] = {}

    def visit(function: Function) -> None:
        if function not in found and function in needs:
            for need in needs[function].values():
                visit(need)
            found[function] = Injected(function, needs[function])

    for function in wanted:
        visit(function)
    return list(found.values())
