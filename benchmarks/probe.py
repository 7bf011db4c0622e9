"""Counts handler calls across processes in shared memory. Needs nothing but the standard library.

The file holds, in this order: 64 places of two 64-bit numbers for worker
processes (first and last call, monotonic nanoseconds), one 64-bit number for
each job (nanoseconds from submission to call), one byte for each job (calls).
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from time import monotonic_ns
from typing import Self

VARIABLE = "BENCH_PROBE"
_PLACES = 64
_HEADER = _PLACES * 16


class Probe:
    """One probe file, written by handlers and read by the driver."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._bytes = memoryview(mmap.mmap(file.fileno(), 0))
        self.jobs = (len(self._bytes) - _HEADER) // 9
        self._calls_at = _HEADER + self.jobs * 8
        self._numbers = self._bytes[: self._calls_at].cast("q")
        self._place = os.getpid() % _PLACES * 2

    @classmethod
    def make(cls, jobs: int) -> Self:
        """Make the file of a run, in memory where the machine has a folder for that."""
        memory = Path("/dev/shm")
        handle, name = tempfile.mkstemp(prefix="bench-", dir=memory if memory.is_dir() else None)
        os.ftruncate(handle, _HEADER + jobs * 9)
        os.close(handle)
        return cls(Path(name))

    @classmethod
    def of_environment(cls) -> Self:
        """Open the probe that the driver named."""
        return cls(Path(os.environ[VARIABLE]))

    def hit(self, number: int, sent_ns: int = 0) -> None:
        """Note that the handler of a job was called; costs about half a microsecond."""
        now = monotonic_ns()
        if not self._numbers[self._place]:
            self._numbers[self._place] = now
        self._numbers[self._place + 1] = now
        self._bytes[self._calls_at + number] += 1
        if sent_ns:
            self._numbers[_PLACES * 2 + number] = now - sent_ns

    def called(self, below: int | None = None) -> int:
        """Return how many jobs were called at least once, where asked of those below a number."""
        jobs = self.jobs if below is None else min(below, self.jobs)
        return jobs - bytes(self._bytes[self._calls_at : self._calls_at + jobs]).count(0)

    def check_once(self) -> None:
        """Raise AssertionError unless every job was called exactly once."""
        calls = bytes(self._bytes[self._calls_at :])
        wrong = self.jobs - calls.count(1)
        if wrong:
            raise AssertionError(f"{wrong} of {self.jobs} jobs were not called exactly once")

    def first_calls(self) -> list[int]:
        """Return the moment of the first call in each process that had one, earliest first."""
        return sorted(moment for moment in self._numbers[0 : _PLACES * 2 : 2] if moment)

    def last_call(self) -> int:
        """Return the moment of the last call of all."""
        return max(self._numbers[1 : _PLACES * 2 : 2])

    def delays_ms(self) -> list[float]:
        """Return the time from submission to call of every job that said when it was sent, sorted."""
        return sorted(each / 1e6 for each in self._numbers[_PLACES * 2 :] if each)

    def remove(self) -> None:
        """Remove the file; what is mapped stays readable."""
        self.path.unlink(missing_ok=True)
