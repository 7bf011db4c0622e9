"""Entry point of a worker process: `python -m hms_svc.processes.worker_main`."""

from __future__ import annotations

import gc
import sys


def main(arguments: list[str]) -> int:
    """Load the worker with the garbage collector off, which is a tenth faster, and run it.

    The arguments are the descriptor of the control socket and the spec as JSON. Without a spec,
    modules that every worker needs are loaded while the spec is on its way.
    """
    gc.disable()
    from hms_svc.processes.worker import run_first_worker, run_worker

    return run_first_worker(*arguments) if len(arguments) == 1 else run_worker(*arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
