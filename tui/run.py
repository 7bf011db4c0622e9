"""The console from its start to its exit code."""

from __future__ import annotations

from hms_svc.tui.app import Console
from hms_svc.tui.launch import Launch


def run_console(launch: Launch) -> int:
    """Show the console until it is left, or take one frame of it; gives the exit code.

    Raises what made it give up, such as an application that cannot be loaded.
    """
    app = Console(launch)
    if launch.snapshot is not None:
        app.run(headless=True, size=(launch.snapshot.width, launch.snapshot.height))
    else:
        app.run()
    if app.failure is not None:
        raise app.failure
    return app.return_value if app.return_value is not None else app.return_code or 0
