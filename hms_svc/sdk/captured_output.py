"""Output of handlers is kept with their job; outside of jobs it goes to its usual destination."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from hms_svc.domain.outcome import DeadLetter
from hms_svc.sdk.captured_streams import CapturedText
from hms_svc.sdk.running_job import find_job
from hms_svc.sdk.standard_streams import provide_standard_streams

NO_DEBUGGER: Final = (
    "breakpoint(): there is no terminal for a debugger here: run the job with `hms-svc run FILE`, "
    "or set PYTHONBREAKPOINT to a debugger that needs no terminal"
)


@contextmanager
def captured_output(*, pass_on: bool, to_process: bool = False) -> Iterator[None]:
    """Capture what jobs print on standard output and error while the block runs.

    Blocks on several threads may end in any order. With `to_process`, output from outside of
    jobs goes to the process's own streams. Without `pass_on`, a job that calls `breakpoint()`
    is dead at once, since the debugger would be invisible.
    """
    provide_standard_streams()
    out = CapturedText(sys.stdout, _own(sys.__stdout__, to_process, sys.stdout), pass_on=pass_on)
    err = CapturedText(sys.stderr, _own(sys.__stderr__, to_process, sys.stderr), pass_on=pass_on)
    sys.stdout, sys.stderr = out, err
    if not pass_on:
        sys.breakpointhook = _refuse_debugger
    try:
        yield
    finally:
        beneath_out, beneath_err = out.retire(), err.retire()
        # A later block that still runs wraps this one, and passes its output on to it.
        sys.stdout = beneath_out if sys.stdout is out else sys.stdout
        sys.stderr = beneath_err if sys.stderr is err else sys.stderr


def _own(stream: TextIO | None, to_process: bool, present: TextIO) -> TextIO:
    return stream if to_process and stream is not None else present


def _refuse_debugger(*arguments: Any, **named: Any) -> Any:
    # Python's own variable, read at each call as Python does.
    if find_job() is None or os.environ.get("PYTHONBREAKPOINT"):
        return sys.__breakpointhook__(*arguments, **named)  # noqa: T100 - requested by name
    raise DeadLetter(NO_DEBUGGER)
