"""Commands and groups that reject repeated options: the last value would silently win."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

_TEXTS: Final = (str, str | None)


def _leave_plain(command: Any, context: Any) -> None:
    """Pass omitted options and plain texts through unchecked: to validate them typer would load Pydantic."""
    for parameter in command.get_params(context):
        parameter.process_value = partial(_process, parameter)


def _process(parameter: Any, context: Any, value: Any) -> Any:
    is_text = isinstance(value, str) and parameter.type_descriptor.annotation in _TEXTS
    is_given = value is not None and (parameter.multiple or isinstance(value, str | list | tuple))
    if parameter.required or (is_given and not is_text):
        return type(parameter).process_value(parameter, context, value)
    plain = () if value is None and parameter.multiple else value
    return plain if parameter.callback is None else parameter.callback(context, parameter, plain)


class LazyCommand(TyperCommand):
    """A command whose options may occur once, except those that take a list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; BadParameter (exit 2) for an option that occurs twice."""
        _check_once(self, ctx, args)
        _leave_plain(self, ctx)
        return super().parse_args(ctx, args)


class LazyGroup(TyperGroup):
    """A group whose options may occur once, except those that take a list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; BadParameter (exit 2) for an option that occurs twice."""
        _check_once(self, ctx, args)
        _leave_plain(self, ctx)
        return super().parse_args(ctx, args)


def _check_once(command: Any, ctx: Any, args: list[str]) -> None:
    _, _, order = command.make_parser(ctx).parse_args(args=list(args))
    seen = set()
    for parameter in order:
        is_option = parameter.param_type_name == "option"
        if is_option and parameter.name in seen and not parameter.multiple:
            raise typer.BadParameter("it may be given only once", ctx=ctx, param=parameter)
        seen.add(parameter.name)
