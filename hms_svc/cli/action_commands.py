"""The commands of operator actions: their names and their help are those of the table of actions."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Any

from hms_svc.cli.options import Commands
from hms_svc.operations.action_table import BY_NAME


def commands_of(functions: dict[str, Callable[..., Any]]) -> Commands:
    """Return the commands of actions, given the function of each by the action's name.

    The help has the sentences of the table, and then those of the function's docstring, if it has one.
    """
    commands = {}
    for name, function in functions.items():
        action = BY_NAME[name]
        paragraphs = (action.help, action.reversal, cleandoc(function.__doc__ or ""))
        function.__doc__ = "\n\n".join(filter(None, paragraphs))
        commands[action.verb] = function
    return commands
