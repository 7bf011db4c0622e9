"""Processes whose parents have died, and that fell to us."""

from __future__ import annotations

import os


def reap_orphans(children: set[int]) -> None:
    """Take the end of processes that are not ours, but fell to us: we may be the first of a container."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in children:
            return
        os.waitpid(ended.si_pid, 0)
