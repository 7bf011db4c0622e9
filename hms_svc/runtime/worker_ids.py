"""Names of worker processes."""

from __future__ import annotations

import os
import socket


def make_worker_id() -> str:
    """Make a name for a process that no other bears: host, pid of its maker and a random tail."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
