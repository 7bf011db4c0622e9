"""A worker process of `serve`, as the supervisor starts it: `python -m hms_svc.processes.worker_main`."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Load the worker with the garbage collector off, which makes that a tenth shorter; run it."""
    gc.disable()
    from hms_svc.processes.worker import run_worker

    return run_worker(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
