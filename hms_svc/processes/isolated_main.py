"""Entry point of the process of an isolated handler: `python -m hms_svc.processes.isolated_main`."""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> int:
    """Run jobs, with the descriptor of the control socket and the spec as JSON."""
    from hms_svc.processes.isolated import run_isolated

    return run_isolated(*arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
