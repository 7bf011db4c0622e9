"""The same jobs on huey over SQLite, synced to disk. Runs in a virtual environment of its own.

    python -m benchmarks.huey_app produce noop|report bulk COUNT

and huey's own consumer with `benchmarks.huey_app.huey`. A report does by hand
what `pothole.report` does; then it submits the notice, which is recorded. huey
has no call for many jobs at a time.
"""

from __future__ import annotations

import os
import uuid
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.by_hand import SQLiteCases
from benchmarks.probe import Probe
from benchmarks.submission import Job, submit

FOLDER = Path(os.environ["HMS_SVC_DATA_DIR"])
ANSWER = {"ok": True}
huey: Any = import_module("huey").SqliteHuey(
    "bench", filename=os.fspath(FOLDER / "huey.db"), fsync=True
)
_cases = SQLiteCases()
_probe = Probe.of_environment()


def _noop(user_id: str, lat: float, lon: float, photo: str, n: int) -> dict[str, bool]:
    _probe.hit(n)
    return ANSWER


def _report(n: int, notice_n: int, data: dict[str, Any]) -> str:
    case = _cases.open_case(str(uuid.UUID(int=n)), data)
    notice(notice_n, case)
    _probe.hit(n)
    return case


def _notice(n: int, case: str) -> dict[str, Any]:
    _probe.hit(n)
    return {"recorded": True, "case": case}


noop = huey.task(name="noop")(_noop)
report = huey.task(name="report")(_report)
notice = huey.task(name="notice")(_notice)


def main() -> None:
    """Submit jobs."""

    def send(kind: str, job: Job) -> object:
        return (report if kind == "report" else noop)(**job)

    submit(send)


if __name__ == "__main__":
    # by the name under which the consumer knows the tasks
    import_module("benchmarks.huey_app").main()
