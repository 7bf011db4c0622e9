"""What a stranger can see of a broker and of a database: the words that both kinds are told in."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final, Protocol

import msgspec

from hms_svc.domain.lifecycle import State

STATES: Final = {
    1: State.SCHEDULED,
    2: State.QUEUED,
    3: State.HELD,
    4: State.PROCESSING,
    5: State.RETRYING,
    6: State.COMPLETED,
    7: State.REJECTED,
    8: State.DEAD,
    9: State.CANCELLED,
}


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """One record, as it is kept. Texts are empty and numbers 0 where there is nothing."""

    id: str
    type: str
    state: State
    fence: int
    attempt: int
    claims: int
    give_backs: int
    crashes: int
    suspect: bool
    lane: int
    max_attempts: int
    worker: str
    reason: str
    by: str
    case_id: str
    steps: tuple[dict[str, Any], ...]


class BusEvent(msgspec.Struct, frozen=True):
    """One event as it stands on the bus; `event_id` is empty where it follows from the rest."""

    type: str
    job_id: str
    event_id: str


class BrokerSample(msgspec.Struct, frozen=True):
    """One look in the middle of a run: sizes, tallies of them, and the running counters."""

    rows: Counter[tuple[str, str]]
    tallies: Counter[tuple[str, str]]
    counters: dict[tuple[str, str], int]

    def faults(self) -> list[str]:
        """Return where tallies differ from rows, or accepted jobs are not there."""
        there = Counter(type for type, _ in self.rows.elements())
        accepted = {type: n for (type, name), n in self.counters.items() if name == "accepted"}
        return [
            f"I7: {type}: {self.rows[type, state] - self.tallies[type, state]:+} rows beyond the tally of {state}"
            for type, state in sorted({*self.rows, *self.tallies})
            if self.rows[type, state] != self.tallies[type, state]
        ] + [
            f"I7: {type}: {n} were accepted, {there[type]} are there"
            for type, n in accepted.items()
            if there[type] != n
        ]


class BrokerView(Protocol):
    """A broker past the program."""

    def jobs(self) -> list[JobRow]:
        """Return every record, by id."""
        ...

    def count(self, state: State, type: str = "") -> int:
        """Count the jobs of a state, of all types where none is named."""
        ...

    def holders(self) -> list[str]:
        """Return the worker of each job that somebody has in progress."""
        ...

    def workers(self) -> list[str]:
        """Return the workers that stand in the register."""
        ...

    def events(self) -> list[BusEvent]:
        """Return everything on the bus, oldest first."""
        ...

    def sample(self) -> BrokerSample:
        """Count everything in one read, which is right in the middle of a run too."""
        ...

    def group_faults(self) -> list[str]:
        """Return which failure groups differ from the jobs that name them, while nobody writes."""
        ...

    def faults(self) -> list[str]:
        """Return what is wrong with how it is kept, once nobody works on it."""
        ...

    def close(self) -> None:
        """Release what was opened."""
        ...


class DatabaseView(Protocol):
    """A database past the program: the tables are the same in both kinds."""

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one reading statement; nothing where there is no database yet."""
        ...

    def faults(self) -> list[str]:
        """Return what is wrong with how it is kept."""
        ...


def differences(told: Counter[str], there: Counter[str]) -> list[str]:
    """Describe each failure group whose count is not the number of its jobs."""
    return [
        f"group {cause or 'of no cause'} has {told[cause]} jobs, there are {there[cause]}"
        for cause in sorted({*told, *there})
        if told[cause] != there[cause]
    ]


def read_steps(history: str) -> tuple[dict[str, Any], ...]:
    """Read the history of a job: a JSON object on each line."""
    return tuple(json.loads(line) for line in history.split("\n") if line)


def broker_view(url: str) -> BrokerView:
    """Open the view of the broker at an address."""
    if url.startswith("redis://"):
        from tests.chaos.redis_view import RedisView

        return RedisView(url)
    from tests.chaos.sqlite_view import QueueFileView, path_of

    return QueueFileView(path_of(url))


def database_view(url: str) -> DatabaseView:
    """Open the view of the database at an address."""
    if url.startswith("postgresql://"):
        from tests.chaos.postgres_view import PostgresView

        return PostgresView(url)
    from tests.chaos.sqlite_view import CasesFileView, path_of

    return CasesFileView(path_of(url))
