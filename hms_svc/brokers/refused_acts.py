"""Why an operator's act on a job is not done, in the words of both brokers; see also `ports/control.py`.

The scripts of Redis get the texts from here.
"""

from __future__ import annotations

from typing import Final

ENDED_ALREADY: Final = "is {state} already"
NOT_HELD: Final = "is {state}, not held"
NOT_TO_RETRY: Final = "is {state}: only ended or waiting jobs are retried"
NOTHING_TO_RETRY: Final = "is completed: there is nothing to retry"
NOTHING_TO_RUN: Final = "was erased: there is nothing to run"
CANNOT_RUN: Final = "is not a job that can run: its bytes were refused; edit it instead"
STILL_RUNNING: Final = "is processing: cancel it first"
GONE: Final = "is not known any more"
WAS_RUNNING: Final = "was running: its worker was asked to stop"
MOVED_SINCE: Final = "has moved on: it is {state}"
