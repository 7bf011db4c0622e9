"""Orphaned processes that became children of this process."""

from __future__ import annotations

import os


def reap_orphans(children: set[int]) -> None:
    """Reap orphans other than `children`: this process may be the init process of a container."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in children:
            return
        os.waitpid(ended.si_pid, 0)
