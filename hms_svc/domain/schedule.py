"""Cron schedules: when the next tick is, the id of its job, and how it reads as text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import takewhile
from typing import Final

import msgspec
from cronsim import CronSim, CronSimError

from hms_svc.domain.errors import BadInput
from hms_svc.domain.ids import RESERVED_PREFIX, derived_id
from hms_svc.domain.time_zones import UTC_NAME, time_zone

FIELDS: Final = 5
_LONGEST_READABLE: Final = 100
"""Leaves space for what a tick's handler appends for the ids of jobs that it submits."""


class Schedule(msgspec.Struct, frozen=True):
    """Five cron fields, and the time zone in which they apply.

    When clocks change, ticks at a set hour come once, as with Debian's cron;
    a tick in a skipped hour comes at its end.
    """

    cron: str
    time_zone: str = UTC_NAME

    @property
    def text(self) -> str:
        """The fields, followed by the zone unless it is UTC; `read_schedule` parses it."""
        return self.cron if self.time_zone == UTC_NAME else f"{self.cron} {self.time_zone}"

    @property
    def description(self) -> str:
        """Return the schedule in plain English."""
        return f"{CronSim(self.cron, datetime.now(UTC)).explain()} ({self.time_zone})"

    def next_after(self, unix_ms: int) -> int:
        """Return the first tick after a time."""
        return next(self._after(unix_ms))

    def between(self, after_ms: int, until_ms: int) -> Iterator[int]:
        """Return the ticks after a time, up to another one."""
        return takewhile(lambda tick: tick <= until_ms, self._after(after_ms))

    def _after(self, unix_ms: int) -> Iterator[int]:
        """Return the ticks after a time, each once: in the hour that is repeated CronSim begins too early."""
        last = unix_ms
        at = datetime.fromtimestamp(unix_ms / 1000, time_zone(self.time_zone))
        for found in CronSim(self.cron, at):
            tick = int(found.timestamp() * 1000)
            if tick > last:
                yield tick
                last = tick


def make_schedule(cron: str, time_zone: str = UTC_NAME) -> Schedule:
    """Return a checked schedule; BadInput names the expected form."""
    expected = "five fields such as */5 * * * * (minute, hour, day, month, weekday)"
    if len(cron.split()) != FIELDS:
        raise BadInput(f"schedule {cron!r:.80} does not have {expected}")
    schedule = Schedule(" ".join(cron.split()), time_zone)
    try:
        schedule.next_after(0)
    except CronSimError as error:
        raise BadInput(f"schedule {cron!r:.80}: {error}; expected {expected}") from error
    except StopIteration as error:
        raise BadInput(f"schedule {cron!r:.80} never occurs") from error
    return schedule


def read_schedule(text: str) -> Schedule:
    """Parse the text of `Schedule.text`."""
    fields = text.split()
    return make_schedule(" ".join(fields[:FIELDS]), " ".join(fields[FIELDS:]) or UTC_NAME)


def tick_id(type: str, tick_ms: int) -> str:
    """Return the id of the one job of a tick: the same whichever process submits it."""
    stamp = datetime.fromtimestamp(tick_ms / 1000, UTC).strftime("%Y%m%dT%H%MZ")
    named = f"{RESERVED_PREFIX}tick:{type}:{stamp}"
    return named if len(named) <= _LONGEST_READABLE else derived_id("tick", type, stamp)


def check_time_zone(name: str) -> None:
    """Raise BadInput for an unknown time zone."""
    time_zone(name)
