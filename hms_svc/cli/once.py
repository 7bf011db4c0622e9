"""Commands and groups that refuse an option given twice: its last value would win without a word."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

_TEXTS: Final = (str, str | None)


def _leave_plain(command: Any, context: Any) -> None:
    """Let options that were not given, and plain texts, pass as they are: to check them typer loads Pydantic."""
    for parameter in command.get_params(context):
        parameter.process_value = partial(_process, parameter)


def _process(parameter: Any, context: Any, value: Any) -> Any:
    is_text = isinstance(value, str) and parameter.type_descriptor.annotation in _TEXTS
    is_given = value is not None and (parameter.multiple or isinstance(value, str | list | tuple))
    if parameter.required or (is_given and not is_text):
        return type(parameter).process_value(parameter, context, value)
    plain = () if value is None and parameter.multiple else value
    return plain if parameter.callback is None else parameter.callback(context, parameter, plain)


class Command(TyperCommand):
    """A command whose options stand once, but for those that take a list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; BadParameter (exit 2) for an option that stands twice."""
        _check_once(self, ctx, args)
        _leave_plain(self, ctx)
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    """A group whose options stand once, but for those that take a list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; BadParameter (exit 2) for an option that stands twice."""
        _check_once(self, ctx, args)
        _leave_plain(self, ctx)
        return super().parse_args(ctx, args)


def _check_once(command: Any, ctx: Any, args: list[str]) -> None:
    _, _, order = command.make_parser(ctx).parse_args(args=list(args))
    seen = set()
    for parameter in order:
        is_option = parameter.param_type_name == "option"
        if is_option and parameter.name in seen and not parameter.multiple:
            raise typer.BadParameter("it stands twice: give it once", ctx=ctx, param=parameter)
        seen.add(parameter.name)
