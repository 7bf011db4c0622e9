"""A type that is run by the clock, once a year; `HMS_SVC_APP=tests.chaos.ticking:app` loads it."""

from __future__ import annotations

from hms_svc import Registry
from tests.chaos import interrupted

APP = "tests.chaos.ticking:app"
app = Registry()
assert interrupted.app


@app.job("chaos.tick", schedule="0 0 1 1 *")
def tick() -> None:
    """Do nothing."""
