"""Calls of functions, counted: numbers that a slow machine does not change."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import hms_svc


class Calls:
    """Counts the calls of functions of this project, on all threads that start while it is entered.

    `libraries` are those whose functions count, too.
    """

    def __init__(self, *libraries: ModuleType) -> None:
        self._by_code: Counter[CodeType] = Counter()
        self._sources = tuple(
            str(Path(str(each.__file__)).parent) for each in (hms_svc, *libraries)
        )

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count while the block runs."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            self._by_code[frame.f_code] += 1

    def forget(self) -> None:
        """Begin again at zero."""
        self._by_code.clear()

    def for_each_of(self, jobs: int) -> dict[str, int]:
        """Return, by function, how often it is called for each job.

        What is called once for a batch, or from time to time, is called less than once for every
        second job, and so counts as never: the result does not depend on the sizes of the batches.
        """
        found: dict[str, int] = {}
        # A copy in one step: threads that were started while it counted still add to it.
        for code, count in dict(self._by_code).items():
            each = (count + jobs // 2) // jobs
            if each and code.co_filename.startswith(self._sources):
                *_, folder, file = Path(code.co_filename).parts
                found[f"{folder}/{file}:{code.co_firstlineno} {code.co_name}"] = each
        return found


def listed(calls: dict[str, int]) -> str:
    """Return the calls, a function on each line."""
    return "\n".join(f"{count} {place}" for place, count in sorted(calls.items()))
