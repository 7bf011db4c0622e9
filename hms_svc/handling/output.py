"""What handlers print is kept with their job; outside of jobs printing goes where it always went."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from hms_svc.handling.context import find_job


class _Captured(io.TextIOBase):
    """A text stream that gives the running job a copy; `pass_on` keeps showing it too.

    It stands before `beneath`, and shows on `original`.
    """

    def __init__(self, beneath: TextIO, original: TextIO, *, pass_on: bool) -> None:
        self._beneath = beneath
        self._original = original
        self._pass_on = pass_on
        self._retired = False

    def retire(self) -> TextIO:
        """Capture no more, whoever still holds this stream; gives the one beneath that is in use."""
        self._retired = True
        self._original = self._beneath
        beneath = self._beneath
        while isinstance(beneath, _Captured) and beneath._retired:
            beneath = beneath._beneath
        return beneath

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
        job = None if self._retired else find_job()
        if job is not None:
            job.capture(text)
        if job is None or self._pass_on:
            self._original.write(text)
        return len(text)


@contextmanager
def captured_output(*, pass_on: bool, to_process: bool = False) -> Iterator[None]:
    """Catch what jobs print on standard output and error while the block runs.

    Blocks on several threads may end in any order. With `to_process` what others
    print goes to the process's own streams.
    """
    out = _Captured(sys.stdout, _own(sys.__stdout__, to_process, sys.stdout), pass_on=pass_on)
    err = _Captured(sys.stderr, _own(sys.__stderr__, to_process, sys.stderr), pass_on=pass_on)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        beneath_out, beneath_err = out.retire(), err.retire()
        # A later block that still runs stands before this one, and passes on to it.
        sys.stdout = beneath_out if sys.stdout is out else sys.stdout
        sys.stderr = beneath_err if sys.stderr is err else sys.stderr


def _own(stream: TextIO | None, to_process: bool, present: TextIO) -> TextIO:
    return stream if to_process and stream is not None else present
