"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations


def main() -> None:
    """Run `hms-svc` with the arguments of this process; ends it with the command's exit code."""
    from hms_svc.cli.app import make_app

    make_app()(prog_name="hms-svc")
