"""Commands and groups that refuse an option given twice: its last value would win without a word."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command whose options stand once, but for those that take a list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; BadParameter (exit 2) for an option that stands twice."""
        _check_once(self, ctx, args)
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    """A group whose options stand once, but for those that take a list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; BadParameter (exit 2) for an option that stands twice."""
        _check_once(self, ctx, args)
        return super().parse_args(ctx, args)


def _check_once(command: Any, ctx: Any, args: list[str]) -> None:
    _, _, order = command.make_parser(ctx).parse_args(args=list(args))
    seen = set()
    for parameter in order:
        is_option = parameter.param_type_name == "option"
        if is_option and parameter.name in seen and not parameter.multiple:
            raise typer.BadParameter("it stands twice: give it once", ctx=ctx, param=parameter)
        seen.add(parameter.name)
