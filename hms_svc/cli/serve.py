"""`hms-svc serve`: workers without a console."""

from __future__ import annotations

from typing import Annotated

import typer

from hms_svc.cli.session import session_of
from hms_svc.domain.errors import BadInput


def serve(
    context: typer.Context,
    *,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Number of worker processes.")] = 1,
    concurrency: Annotated[
        str | None, typer.Option(help="Jobs to run at a time in each process.", show_default=False)
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(
            help="Only these types: a,b; patterns such as 'a.*', and '!b' for all but b.",
            show_default=False,
        ),
    ] = None,
    app: Annotated[
        list[str] | None,
        typer.Option(metavar="M:N", help="Registry of your application.", show_default=False),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Address of the HTTP API.", show_default=False),
    ] = None,
    no_http: Annotated[bool, typer.Option("--no-http", help="Start no HTTP API.")] = False,
    web: Annotated[
        bool, typer.Option("--web", help="Also serve the console in a browser, at /console.")
    ] = False,
    drain: Annotated[bool, typer.Option("--drain", help="Exit once no work is left.")] = False,
    reload: Annotated[
        bool,
        typer.Option("--reload", help="Start again when a Python file of the application changes."),
    ] = False,
    owner: Annotated[int, typer.Option(hidden=True, help="End when this socket is closed.")] = -1,
) -> None:
    """Run workers and the HTTP API until they are stopped.

    With --drain there is no HTTP API unless --http is given.
    """
    from hms_svc.processes.serve import ServeOptions
    from hms_svc.processes.serve import serve as run_workers

    if http is not None and no_http:
        raise BadInput("--http and --no-http cannot be combined: use one of them")
    if reload and drain:
        raise BadInput("--reload and --drain cannot be combined: use one of them")
    session = session_of(context)
    session.check_writable("serve")
    session.overrides |= {
        "concurrency": concurrency,
        "app": tuple(app) if app else None,
        "http": http,
    }
    names = tuple(name.strip() for name in types.split(",") if name.strip()) if types else ()
    listens = not no_http and (not drain or http is not None)
    options = ServeOptions(
        processes=processes,
        types=names,
        drain=drain,
        http=session.settings.http if listens else None,
        web=web,
        reload=reload,
        owner=owner,
    )
    raise typer.Exit(run_workers(session.settings, options))
