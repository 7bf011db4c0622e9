"""The door of `serve`, as the supervisor starts it: `python -m hms_svc.door_process`."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Load the door with the garbage collector off, which makes that shorter; run it."""
    gc.disable()
    from hms_svc.receiving import run_door

    return run_door(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
