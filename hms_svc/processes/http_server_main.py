"""Entry point of the HTTP server process: `python -m hms_svc.processes.http_server_main`."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Load the HTTP server with the garbage collector off, which is faster, and run it."""
    gc.disable()
    from hms_svc.processes.http_server import run_http_server

    return run_http_server(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
