"""What handlers print is kept with their job; outside of jobs printing goes where it always went."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from hms_svc.handling.context import find_job


class _Captured(io.TextIOBase):
    """A text stream that gives the running job a copy; `pass_on` keeps showing it too."""

    def __init__(self, original: TextIO, *, pass_on: bool) -> None:
        self._original = original
        self._pass_on = pass_on

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._original.encoding

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._original.isatty()

    def fileno(self) -> int:
        return self._original.fileno()

    def flush(self) -> None:
        self._original.flush()

    def write(self, text: str) -> int:
        job = find_job()
        if job is not None:
            job.capture(text)
        if job is None or self._pass_on:
            self._original.write(text)
        return len(text)


@contextmanager
def captured_output(*, pass_on: bool) -> Iterator[None]:
    """Catch what jobs print on standard output and error while the block runs."""
    out, err = sys.stdout, sys.stderr
    sys.stdout = _Captured(out, pass_on=pass_on)
    sys.stderr = _Captured(err, pass_on=pass_on)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
