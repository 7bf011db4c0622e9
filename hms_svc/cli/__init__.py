"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run `hms-svc` with the arguments of this process, and exit with the command's exit code."""
    # Garbage collection while modules load takes a tenth of a short command; `session.run` enables it.
    gc.disable()
    from hms_svc.sdk.standard_streams import provide_standard_streams

    provide_standard_streams()
    if not _serves(sys.argv[1:]):
        _run()
        return
    from hms_svc.processes.first_worker import discard_first_worker, start_first_worker

    start_first_worker()
    try:
        _run()
    finally:
        discard_first_worker()


def _serves(arguments: list[str]) -> bool:
    """Return whether these arguments most probably start workers: their loading begins before they are parsed."""
    others = {"--help", "-h", "--reload"}
    return arguments[:1] == ["serve"] and not others & set(arguments)


def _run() -> None:
    from hms_svc.cli.app import make_app

    make_app()(prog_name="hms-svc")
