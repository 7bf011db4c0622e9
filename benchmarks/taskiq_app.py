"""The same jobs on taskiq over Redis streams, without results. Runs in an environment of its own.

    python -m benchmarks.taskiq_app produce noop|report bulk|one|paced COUNT [INTERVAL_SECONDS]

and taskiq's own command line with `benchmarks.taskiq_app:broker`.
"""

from __future__ import annotations

import os
import uuid
from importlib import import_module
from typing import Any

from benchmarks.probe import Probe
from benchmarks.submission import Job, submit_async

POOL = 20
broker: Any = import_module("taskiq_redis").RedisStreamBroker(
    os.environ["BENCH_REDIS"], consumer_id="0"
)
_probe = Probe.of_environment()
_cases: Any = None


async def _open_case(job: str, data: dict[str, Any]) -> str:
    opened = _cases.open_case(job, data)
    return opened if isinstance(opened, str) else str(await opened)


async def _start(state: object) -> None:
    global _cases
    if "BENCH_DATABASE" not in os.environ:
        _cases = import_module("benchmarks.by_hand").SQLiteCases()
    else:
        _cases = import_module("benchmarks.by_hand_postgres").AwaitedCases(POOL)
        await _cases.open()


async def _noop(user_id: str, lat: float, lon: float, photo: str, n: int, sent_ns: int = 0) -> None:
    _probe.hit(n, sent_ns)


async def _report(n: int, notice_n: int, data: dict[str, Any]) -> None:
    case = await _open_case(str(uuid.UUID(int=n)), data)
    await notice.kiq(notice_n, case)
    _probe.hit(n)


async def _notice(n: int, case: str) -> None:
    _probe.hit(n)


broker.on_event(import_module("taskiq").TaskiqEvents.WORKER_STARTUP)(_start)
noop = broker.task(task_name="noop")(_noop)
report = broker.task(task_name="report")(_report)
notice = broker.task(task_name="notice")(_notice)


async def main() -> None:
    """Submit jobs."""

    async def send(kind: str, job: Job) -> None:
        await (report if kind == "report" else noop).kiq(**job)

    await broker.startup()
    await submit_async(send)
    await broker.shutdown()


if __name__ == "__main__":
    import_module("uvloop").run(main())
