"""The two files of an embedded hms-svc, as a stranger reads them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from hms_svc.domain.lifecycle import State
from tests.chaos.views import STATES, BrokerSample, BusEvent, JobRow, differences, read_steps

CODES: Final = {state: code for code, state in STATES.items()}
_JOBS: Final = (
    "SELECT id, type, state, fence, attempt, claims, give_backs, crashes, suspect, lane, max_attempts,"
    " worker, reason, decided_by, case_id, history FROM jobs JOIN queues USING (queue) ORDER BY id"
)
_SAMPLE: Final = (
    "SELECT 'row', type, state, count(*) FROM jobs JOIN queues USING (queue) GROUP BY 2, 3"
    " UNION ALL SELECT 'tally', type, name, n FROM tallies JOIN queues USING (queue)"
)
_GROUPED: Final = (
    "SELECT coalesce(cause, ''), count(*) FROM jobs WHERE state IN (5, 7, 8) GROUP BY cause"
)


def path_of(url: str) -> Path:
    """Return the file that an address such as sqlite:////folder/queue.db names."""
    return Path(url.removeprefix("sqlite:///"))


def read_rows(path: Path, statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
    """Run one reading statement; return nothing where file or table are not there yet."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(statement, parameters).fetchall()
    except sqlite3.OperationalError as error:
        if "unable to open" in str(error) or "no such table" in str(error):
            return []
        raise


def file_faults(path: Path) -> list[str]:
    """Have SQLite look for damage."""
    found = [row[0] for row in read_rows(path, "PRAGMA integrity_check")]
    return [f"{path.name}: {line}" for line in found if line != "ok"]


class QueueFileView:
    """Implements `BrokerView` over `queue.db`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def jobs(self) -> list[JobRow]:
        """See BrokerView."""
        return [_job(*row) for row in read_rows(self.path, _JOBS)]

    def count(self, state: State, type: str = "") -> int:
        """See BrokerView."""
        found = read_rows(
            self.path,
            "SELECT count(*) FROM jobs JOIN queues USING (queue) WHERE state = ? AND type LIKE ?",
            (CODES[state], type or "%"),
        )
        return int(found[0][0]) if found else 0

    def holders(self) -> list[str]:
        """See BrokerView."""
        return [row[0] for row in read_rows(self.path, "SELECT worker FROM jobs WHERE state = 4")]

    def workers(self) -> list[str]:
        """See BrokerView."""
        return [row[0] for row in read_rows(self.path, "SELECT id FROM workers")]

    def events(self) -> list[BusEvent]:
        """See BrokerView."""
        rows = read_rows(self.path, "SELECT type, job_id, event_id FROM events ORDER BY position")
        return [BusEvent(type, job_id, event_id or "") for type, job_id, event_id in rows]

    def sample(self) -> BrokerSample:
        """See BrokerView."""
        rows: Counter[tuple[str, str]] = Counter()
        tallies: Counter[tuple[str, str]] = Counter()
        counters: dict[tuple[str, str], int] = {}
        for kind, type, name, number in read_rows(self.path, _SAMPLE):
            if kind == "row":
                rows[type, STATES[name].value] += number
            elif name.startswith("+"):
                counters[type, name[1:]] = number
            else:
                tallies[type, name] += number
        return BrokerSample(rows, tallies, counters)

    def group_faults(self) -> list[str]:
        """See BrokerView."""
        told = Counter(dict(read_rows(self.path, "SELECT cause, n FROM causes")))
        return differences(told, Counter(dict(read_rows(self.path, _GROUPED))))

    def faults(self) -> list[str]:
        """See BrokerView."""
        return file_faults(self.path) + self.group_faults()

    def close(self) -> None:
        """See BrokerView."""


class CasesFileView:
    """Implements `DatabaseView` over `cases.db`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """See DatabaseView."""
        return read_rows(self.path, statement)

    def faults(self) -> list[str]:
        """See DatabaseView."""
        return file_faults(self.path)


def _job(
    id: str,
    type: str,
    state: int,
    fence: int,
    attempt: int,
    claims: int,
    give_backs: int,
    crashes: int,
    suspect: int,
    lane: int,
    most: int | None,
    worker: str | None,
    reason: str | None,
    by: str | None,
    case_id: str | None,
    history: str | None,
) -> JobRow:
    return JobRow(
        id=id,
        type=type,
        state=STATES[state],
        fence=fence,
        attempt=attempt,
        claims=claims,
        give_backs=give_backs,
        crashes=crashes,
        suspect=bool(suspect),
        lane=lane,
        max_attempts=most or 0,
        worker=worker or "",
        reason=reason or "",
        by=by or "",
        case_id=case_id or "",
        steps=read_steps(history or ""),
    )
