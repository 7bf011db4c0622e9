"""Ids of worker processes."""

from __future__ import annotations

import os
import socket


def make_worker_id() -> str:
    """Return a unique id for a worker process: host, pid of the calling process and a random suffix."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
