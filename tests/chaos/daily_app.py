"""A type with a schedule, once a day; `HMS_SVC_APP=tests.chaos.daily_app:app` loads it."""

from __future__ import annotations

from hms_svc import Registry
from tests.chaos import interrupted

APP = "tests.chaos.daily_app:app"
DAILY = "0 0 * * *"
app = Registry()
assert interrupted.app


@app.job("chaos.tick", schedule=DAILY)
def tick() -> None:
    """Do nothing."""
