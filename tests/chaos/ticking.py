"""A type that is run by the clock, once a day; `HMS_SVC_APP=tests.chaos.ticking:app` loads it."""

from __future__ import annotations

from hms_svc import Registry
from tests.chaos import interrupted

APP = "tests.chaos.ticking:app"
DAILY = "0 0 * * *"
app = Registry()
assert interrupted.app


@app.job("chaos.tick", schedule=DAILY)
def tick() -> None:
    """Do nothing."""
