"""`hms-svc` put together: the options that all commands share, and where each command stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hms_svc.cli.root import Root
from hms_svc.cli.session import Session

NO_CONSOLE = "the console is not built yet; start headless workers with: hms-svc serve"


def make_app() -> typer.Typer:
    """Make the command line application."""
    app = typer.Typer(
        cls=Root,
        name="hms-svc",
        help="Jobs in, validated, vetted, stored and announced: workers, queues and cases.",
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # importing Rich would be half of what --help costs
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root)
    return app


def _root(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file (TOML).", show_default=False)
    ] = None,
    broker_url: Annotated[str | None, typer.Option(help="Address of the broker.")] = None,
    database_url: Annotated[str | None, typer.Option(help="Address of the database.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Folder of the embedded files.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Name of this installation.")] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Refuse every act; reading goes on.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"hms-svc {installed('hms-svc')}")
        raise typer.Exit
    overrides = {
        "broker_url": broker_url,
        "database_url": database_url,
        "data_dir": data_dir,
        "namespace": namespace,
    }
    context.obj = Session(overrides, config_path=config, read_only=read_only)
    if context.invoked_subcommand is None:
        typer.echo(NO_CONSOLE, err=True)
        raise typer.Exit(2)
