"""The health of an installation: its problems, each with a text and when it began. Times are Unix milliseconds."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from hms_svc.domain.plain_text import duration_text


class Level(StrEnum):
    """The severity of a problem."""

    DOWN = "down"
    """No job is processed, or none is accepted."""
    DEGRADED = "degraded"
    """Some of the work is not done, or is done late."""
    NOTE = "note"
    """It is intended, or has no consequence yet."""


class TroubleKind(StrEnum):
    """The kinds of problems; within a level they are reported in this order."""

    BROKER_DOWN = "broker_down"
    DATABASE_DOWN = "database_down"
    BROKER_FULL = "broker_full"
    DATABASE_FULL = "database_full"
    NO_WORKERS = "no_workers"
    WORKERS_SILENT = "workers_silent"
    LEASES_OVERDUE = "leases_overdue"
    UNSERVED = "unserved"
    SLOTS_HUNG = "slots_hung"
    FAULTY_KEYS = "faulty_keys"
    BROKER_SLOW = "broker_slow"
    DATABASE_SLOW = "database_slow"
    ALL_PAUSED = "all_paused"
    WORKERS_QUIET = "workers_quiet"
    INTAKE_CLOSED = "intake_closed"
    PAUSED = "paused"


ENGINE_KINDS: Final = frozenset(
    {
        TroubleKind.BROKER_DOWN,
        TroubleKind.DATABASE_DOWN,
        TroubleKind.BROKER_FULL,
        TroubleKind.DATABASE_FULL,
        TroubleKind.BROKER_SLOW,
        TroubleKind.DATABASE_SLOW,
    }
)
"""Kinds that are known without the queues and workers, which an unreachable broker cannot report."""
_LEVELS: Final = tuple(Level)
_KINDS: Final = tuple(TroubleKind)


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """One problem: a short text (`message`), and `detail` for views with more space.

    `since` is when it began if that is recorded, else when the reporting process first saw it.
    With `since_oldest` it is when the oldest of the waiting jobs was enqueued.
    """

    kind: TroubleKind
    level: Level
    message: str
    since: int
    detail: str = ""
    since_oldest: bool = False

    def summary(self, now_ms: int) -> str:
        """Return the text with how long it has lasted, or how old the oldest waiting job is.

        `no workers, 3,000 jobs waiting, oldest 4 m`; `1 of 2 workers silent for 20 s, 3 running jobs`.
        """
        took = now_ms - self.since
        if took < 1000:
            return self.message
        age = duration_text(took, units=1)
        if self.since_oldest:
            return f"{self.message}, oldest {age}"
        what, comma, besides = self.message.partition(", ")
        return f"{what} for {age}{comma}{besides}"

    def line(self, now_ms: int) -> str:
        """Return one line: the level, the text, and the detail."""
        detail = f"; {self.detail}" if self.detail else ""
        return f"{self.level}: {self.summary(now_ms)}{detail}"

    @property
    def rank(self) -> tuple[int, int]:
        """The sort key of problems, the worst first."""
        return (_LEVELS.index(self.level), _KINDS.index(self.kind))


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """All problems at a time, the worst first; empty if all is well.

    `is_whole` is whether queues and workers were checked, not only the engines.
    """

    at: int
    troubles: tuple[Trouble, ...] = ()
    is_whole: bool = True

    @property
    def level(self) -> Level | None:
        """The level of the worst problem, None if all is well."""
        return self.troubles[0].level if self.troubles else None

    def has(self, kind: TroubleKind) -> bool:
        """Return whether there is a problem of a kind."""
        return any(trouble.kind is kind for trouble in self.troubles)
