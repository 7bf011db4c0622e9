"""All commands, with the modules that define them. A command's module is imported when it is run or its help is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, wraps
from importlib import import_module
from typing import Any, Final

import typer

from hms_svc.cli.once import LazyCommand, LazyGroup

COMMANDS: Final = {
    "serve": "serve:serve",
    "enqueue": "enqueue:enqueue",
    "run": "run:run",
    "status": "status:status",
    "jobs": "",
    "batches": "",
    "queues": "",
    "cases": "",
    "schedules": "",
    "events": "events:events",
    "audit": "",
    "tokens": "",
    "workers": "",
    "db": "",
    "doctor": "installation:doctor",
    "config": "installation:config",
    "demo": "demo:demo",
    "bench": "bench:bench",
}
"""Top-level names to `module:function`, in the order of the help; empty for a group."""

GROUPS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "jobs": (
        "Show jobs; retry, cancel, approve, edit and erase them.",
        ("jobs_read", "jobs_act", "jobs_edit", "jobs_erase"),
    ),
    "batches": (
        "Show batches of jobs; close one that was left open.",
        ("batches",),
    ),
    "queues": ("Show queues; pause, resume and purge them.", ("queues", "queues_show")),
    "cases": ("Show cases; close and reopen them.", ("cases",)),
    "schedules": ("Show schedules; run one now, pause and resume it.", ("schedules",)),
    "workers": ("Show workers; quiet, resume and stop them.", ("workers",)),
    "tokens": ("Manage the bearer tokens of the HTTP API.", ("tokens",)),
    "audit": ("Show and verify the audit log.", ("audit",)),
    "db": ("Migrate the schema; back up the data.", ("db",)),
}
"""Groups to their help and the modules whose `COMMANDS` they contain."""

DEFAULTS: Final = {"workers": "list"}
"""Groups to the command that runs if none is named."""


class _Commands(Mapping[str, Any]):
    """The commands of a group by their names, built on first use: the help of the program needs none."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._modules = modules

    @cached_property
    def _built(self) -> Mapping[str, Any]:
        made = _typer("")
        made.callback()(_nothing)
        for name, command in _functions(self._modules).items():
            made.command(name, cls=LazyCommand)(command)
        built: Mapping[str, Any] = typer.main.get_group(made).commands
        return built

    def __getitem__(self, name: str) -> Any:
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._built)

    def __len__(self) -> int:
        return len(self._built)


def build(name: str) -> Any:
    """Return the command or group of a top-level name."""
    made = _typer(name)
    if name not in GROUPS:
        module, _, function = COMMANDS[name].partition(":")
        made.command(name, cls=LazyCommand)(
            getattr(import_module(f"hms_svc.cli.{module}"), function)
        )
        return typer.main.get_command(made)
    text, modules = GROUPS[name]
    if name in DEFAULTS:
        default = _functions(modules)[DEFAULTS[name]]
        made.callback(help=text, invoke_without_command=True)(_unless_named(default))
    else:
        made.callback(help=text, no_args_is_help=True)(_nothing)
    group: Any = typer.main.get_group(made)
    group.commands = _Commands(modules)
    return group


def _typer(name: str) -> typer.Typer:
    return typer.Typer(name=name, cls=LazyGroup, add_completion=False, rich_markup_mode=None)


def _functions(modules: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    return {
        name: function
        for module in modules
        for name, function in import_module(f"hms_svc.cli.{module}").COMMANDS.items()
    }


def _nothing() -> None:
    pass


def _unless_named(command: Callable[..., None]) -> Callable[..., None]:
    """Return a callback that runs a command if no command of the group is named."""

    @wraps(command)
    def callback(context: typer.Context, **given: Any) -> None:
        if context.invoked_subcommand is None:
            command(context, **given)

    return callback
