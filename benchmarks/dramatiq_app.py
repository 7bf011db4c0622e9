"""The same jobs on dramatiq over Redis, without results. Runs in a virtual environment of its own.

    python -m benchmarks.dramatiq_app produce noop|report bulk|one|paced COUNT [INTERVAL_SECONDS]

and dramatiq's own command line with `benchmarks.dramatiq_app`. dramatiq has no
call for many jobs at a time.
"""

from __future__ import annotations

import os
import uuid
from importlib import import_module
from typing import Any

from benchmarks.probe import Probe
from benchmarks.submission import Job, submit

dramatiq: Any = import_module("dramatiq")
dramatiq.set_broker(
    import_module("dramatiq.brokers.redis").RedisBroker(url=os.environ["BENCH_REDIS"])
)
_probe = Probe.of_environment()


def _cases() -> Any:
    if "BENCH_DATABASE" in os.environ:
        return import_module("benchmarks.by_hand_postgres").BlockingCases()
    return import_module("benchmarks.by_hand").SQLiteCases()


cases = _cases()


def _noop(user_id: str, lat: float, lon: float, photo: str, n: int, sent_ns: int = 0) -> None:
    _probe.hit(n, sent_ns)


def _report(n: int, notice_n: int, data: dict[str, Any]) -> None:
    case = cases.open_case(str(uuid.UUID(int=n)), data)
    notice.send(notice_n, case)
    _probe.hit(n)


def _notice(n: int, case: str) -> None:
    _probe.hit(n)


noop = dramatiq.actor(actor_name="noop")(_noop)
report = dramatiq.actor(actor_name="report")(_report)
notice = dramatiq.actor(actor_name="notice")(_notice)


def _send(kind: str, job: Job) -> object:
    return (report if kind == "report" else noop).send(**job)


if __name__ == "__main__":
    submit(_send)
