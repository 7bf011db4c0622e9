"""Run the console."""

from __future__ import annotations

from hms_svc.tui.app import Console
from hms_svc.tui.launch import Launch


def run_console(launch: Launch) -> int:
    """Run the console until it is left, or write one frame of it; return the exit code.

    Raise the error that ended it, such as an application that cannot be loaded.
    """
    app = Console(launch)
    if launch.snapshot is not None:
        app.run(headless=True, size=(launch.snapshot.width, launch.snapshot.height))
    else:
        app.run()
    if app.failure is not None:
        raise app.failure
    return app.return_value if app.return_value is not None else app.return_code or 0
