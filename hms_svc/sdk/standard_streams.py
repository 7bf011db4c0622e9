"""The three standard streams of a process that was started without some of them."""

from __future__ import annotations

import os
import sys
from typing import Final

_NAMES: Final = ("stdin", "stdout", "stderr")


def provide_standard_streams() -> None:
    """Put the null device in place of each standard stream that is closed.

    Otherwise the next file that is opened would become the missing stream, and be written to.
    """
    for descriptor in range(len(_NAMES)):
        if _is_closed(descriptor):
            _open_nothing(descriptor)
    for descriptor, name in enumerate(_NAMES):
        if getattr(sys, name) is None:
            # Not over the descriptor: if that is open, it is a file that other code opened.
            stream = open(os.devnull, "w" if descriptor else "r", encoding="utf-8")  # noqa: SIM115 - it stays open
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


def _open_nothing(descriptor: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened == descriptor:
        os.set_inheritable(descriptor, True)
        return
    os.dup2(opened, descriptor)
    os.close(opened)
