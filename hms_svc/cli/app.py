"""The `hms-svc` application: its shared options and its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hms_svc.cli.options import former_name
from hms_svc.cli.root import Root
from hms_svc.cli.session import Session
from hms_svc.domain.errors import BadInput

WORKERS = ("thread", "process")
CONSOLE_ONLY = (
    "attach",
    "workers",
    "snapshot",
    "screen",
    "where",
    "size",
    "theme",
    "types",
    "app",
    "concurrency",
)


def make_app() -> typer.Typer:
    """Return the command line application."""
    app = typer.Typer(
        cls=Root,
        name="hms-svc",
        help="Job queue: submit, validate, run and inspect jobs; manage queues, workers and cases.",
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # importing Rich would be half of what --help costs
        context_settings={
            "help_option_names": ["--help", "-h"],
            "token_normalize_func": former_name,  # commands inherit it
        },
    )
    app.callback()(_root)
    return app


def _root(  # noqa: PLR0917 - typer gives them by name
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file (TOML).", show_default=False)
    ] = None,
    context_name: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="NAME",
            help="Installation (context) of the configuration file to use.",
        ),
    ] = None,
    broker_url: Annotated[str | None, typer.Option(help="Address of the broker.")] = None,
    database_url: Annotated[str | None, typer.Option(help="Address of the database.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Directory of the embedded files.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Name of this installation.")] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Reject everything that would change data.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    attach: Annotated[bool, typer.Option("--attach", help="Console: start no workers.")] = False,
    workers: Annotated[
        str | None, typer.Option(help="Console: run the workers in a thread or in a process.")
    ] = None,
    types: Annotated[str | None, typer.Option(help="Console: serve only these types.")] = None,
    app: Annotated[
        list[str] | None,
        typer.Option(metavar="M:N", help="Console: registry of your application."),
    ] = None,
    concurrency: Annotated[str | None, typer.Option(help="Console: jobs to run at a time.")] = None,
    theme: Annotated[
        str | None, typer.Option(help="Console: dark, light, contrast, sixteen.")
    ] = None,
    snapshot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="Console: write one frame to a file, and exit."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Console: size of the frame, such as 120x40.")
    ] = None,
    screen: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Console: first screen, such as failures."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="FILTER", help="Console: open the screen jobs with this filter."),
    ] = None,
) -> None:
    if version:
        from hms_svc.domain.version import version as installed

        typer.echo(f"hms-svc {installed()}")
        raise typer.Exit
    overrides = {
        "broker_url": broker_url,
        "database_url": database_url,
        "data_dir": data_dir,
        "namespace": namespace,
    }
    session = context.obj = Session(
        overrides, config_path=config, read_only=read_only, context=context_name or ""
    )
    if context.invoked_subcommand is not None:
        _refuse_console_options(context)
        return
    from hms_svc.cli.console import ConsoleOptions, open_console

    session.overrides |= {
        "concurrency": concurrency,
        "app": tuple(app) if app else None,
        "theme": theme,
    }
    options = ConsoleOptions(
        attach=attach,
        workers=_one_of(workers or "thread", WORKERS),
        types=tuple(name.strip() for name in (types or "").split(",") if name.strip()),
        snapshot=snapshot,
        size=size or "120x40",
        screen=screen or ("jobs" if where else "overview"),
        where=where or "",
    )
    raise typer.Exit(open_console(session, options))


def _refuse_console_options(context: typer.Context) -> None:
    for name in CONSOLE_ONLY:
        if context.params.get(name):
            raise BadInput(
                f"--{name} is an option of the console: use it without a command, or put it after the command"
            )


def _one_of(given: str, allowed: tuple[str, ...]) -> str:
    if given not in allowed:
        raise BadInput(f"--workers {given!r} is not one of {', '.join(allowed)}")
    return given
