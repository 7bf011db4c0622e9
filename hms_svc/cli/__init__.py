"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import gc


def main() -> None:
    """Run `hms-svc` with the arguments of this process, and exit with the command's exit code."""
    # Garbage collection while modules load takes a tenth of a short command; `session.run` enables it.
    gc.disable()
    from hms_svc.sdk.standard_streams import provide_standard_streams

    provide_standard_streams()
    from hms_svc.cli.app import make_app

    make_app()(prog_name="hms-svc")
