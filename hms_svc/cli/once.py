"""Commands and groups that reject repeated options: the last value would silently win."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from hms_svc.cli.plain_values import leave_plain


class LazyCommand(TyperCommand):
    """A command whose options may occur once, except those that take a list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; BadParameter (exit 2) for an option that occurs twice."""
        _check_once(self, ctx, args)
        leave_plain(self, ctx)
        return super().parse_args(ctx, args)


class LazyGroup(TyperGroup):
    """A group whose options may occur once, except those that take a list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; BadParameter (exit 2) for an option that occurs twice."""
        _check_once(self, ctx, args)
        leave_plain(self, ctx)
        return super().parse_args(ctx, args)


def _check_once(command: Any, ctx: Any, args: list[str]) -> None:
    _, _, order = command.make_parser(ctx).parse_args(args=list(args))
    seen = set()
    for parameter in order:
        is_option = parameter.param_type_name == "option"
        if is_option and parameter.name in seen and not parameter.multiple:
            raise typer.BadParameter("it may be given only once", ctx=ctx, param=parameter)
        seen.add(parameter.name)
