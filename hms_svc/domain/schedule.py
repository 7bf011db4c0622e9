"""Cron schedules: when the next tick is, what it is called, and how it reads in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import msgspec
from cronsim import CronSim, CronSimError

from hms_svc.domain.errors import BadInput
from hms_svc.domain.ids import RESERVED_PREFIX, derived_id
from hms_svc.domain.time_zones import UTC_NAME, time_zone

FIELDS: Final = 5
_TICK: Final = re.compile(re.escape(RESERVED_PREFIX) + r"tick:([^:]+):[0-9]{8}T[0-9]{4}Z")
_LONGEST_READABLE: Final = 100
"""Leaves room for what a tick's handler adds for the ids of jobs that it submits."""


class Schedule(msgspec.Struct, frozen=True):
    """Five cron fields, and the time zone whose clocks they mean.

    Where clocks change, ticks at a set hour come once, as with Debian's cron;
    one in an hour that is left out comes at its end.
    """

    cron: str
    time_zone: str = UTC_NAME

    @property
    def text(self) -> str:
        """The fields, and the zone behind them where it is not UTC; `read_schedule` reads it."""
        return self.cron if self.time_zone == UTC_NAME else f"{self.cron} {self.time_zone}"

    @property
    def words(self) -> str:
        """Return it as plain text."""
        return f"{CronSim(self.cron, datetime.now(UTC)).explain()} ({self.time_zone})"

    def next_after(self, unix_ms: int) -> int:
        """Return the first tick after a time."""
        return self._tick(unix_ms, reverse=False)

    def last_before(self, unix_ms: int) -> int:
        """Return the newest tick before a time."""
        return self._tick(unix_ms, reverse=True)

    def _tick(self, unix_ms: int, *, reverse: bool) -> int:
        at = datetime.fromtimestamp(unix_ms / 1000, time_zone(self.time_zone))
        return int(next(CronSim(self.cron, at, reverse)).timestamp() * 1000)


def make_schedule(cron: str, time_zone: str = UTC_NAME) -> Schedule:
    """Check and make a schedule; BadInput says what would be right."""
    wanted = "five fields such as */5 * * * * (minute, hour, day, month, weekday)"
    if len(cron.split()) != FIELDS:
        raise BadInput(f"schedule {cron!r:.80} does not have {wanted}")
    schedule = Schedule(" ".join(cron.split()), time_zone)
    try:
        schedule.next_after(0)
    except CronSimError as error:
        raise BadInput(f"schedule {cron!r:.80}: {error}; want {wanted}") from error
    except StopIteration as error:
        raise BadInput(f"schedule {cron!r:.80} never comes") from error
    return schedule


def read_schedule(text: str) -> Schedule:
    """Read what `Schedule.text` wrote."""
    words = text.split()
    return make_schedule(" ".join(words[:FIELDS]), " ".join(words[FIELDS:]) or UTC_NAME)


def tick_id(type: str, tick_ms: int) -> str:
    """Return the id of the one job of a tick: whoever submits it, it is the same job."""
    stamp = datetime.fromtimestamp(tick_ms / 1000, UTC).strftime("%Y%m%dT%H%MZ")
    named = f"{RESERVED_PREFIX}tick:{type}:{stamp}"
    return named if len(named) <= _LONGEST_READABLE else derived_id("tick", type, stamp)


def type_of_tick(job_id: str) -> str:
    """Return the type whose tick's job has this id; empty where the id says none."""
    found = _TICK.fullmatch(job_id)
    return found[1] if found else ""


def check_time_zone(name: str) -> None:
    """Raise BadInput for the name of a time zone that is not known here."""
    time_zone(name)
