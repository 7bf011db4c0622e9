"""The same jobs on SAQ over Redis, orjson, results kept. Runs in an environment of its own.

python -m benchmarks.saq_app produce noop|report bulk|one|paced COUNT [INTERVAL_SECONDS]
python -m benchmarks.saq_app work
"""

from __future__ import annotations

import os
import sys
import uuid
from importlib import import_module
from typing import Any

from benchmarks.probe import Probe
from benchmarks.submission import Job, submit_async

CONCURRENCY = 20
ANSWER = {"ok": True}
_probe = Probe.of_environment()
_cases: Any = None


def make_queue(operations: int) -> Any:
    """Make a client of the queue that may have so many commands under way."""
    orjson = import_module("orjson")
    client = import_module("redis.asyncio").from_url(os.environ["BENCH_REDIS"])
    return import_module("saq.queue.redis").RedisQueue(
        client,
        name="default",
        dump=orjson.dumps,
        load=orjson.loads,
        max_concurrent_ops=operations,
    )


async def noop(context: Any, **payload: Any) -> dict[str, bool]:
    """Do nothing."""
    _probe.hit(payload["n"], payload.get("sent_ns", 0))
    return ANSWER


async def report(context: Any, n: int, notice_n: int, data: dict[str, Any]) -> str:
    """Open a case by hand, and submit its notice."""
    opened = _cases.open_case(str(uuid.UUID(int=n)), data)
    case: str = opened if isinstance(opened, str) else await opened
    await context["worker"].queue.enqueue("notice", n=notice_n, case=case)
    _probe.hit(n)
    return case


async def notice(context: Any, n: int, case: str) -> dict[str, Any]:
    """Record the notice."""
    _probe.hit(n)
    return {"recorded": True, "case": case}


async def work() -> None:
    """Run a worker until SIGTERM."""
    global _cases
    if "BENCH_DATABASE" in os.environ:
        _cases = import_module("benchmarks.by_hand_postgres").AwaitedCases(CONCURRENCY)
        await _cases.open()
    else:
        _cases = import_module("benchmarks.by_hand").SQLiteCases()
    queue = make_queue(CONCURRENCY)
    await queue.connect()
    functions = [("noop", noop), ("report", report), ("notice", notice)]
    worker = import_module("saq").Worker(queue, functions=functions, concurrency=CONCURRENCY)
    await worker.start()
    await queue.disconnect()


async def main() -> None:
    """Submit jobs."""
    queue = make_queue(100)

    async def send(kind: str, job: Job) -> None:
        await queue.enqueue(kind, **job)

    await queue.connect()
    await submit_async(send)
    await queue.disconnect()


if __name__ == "__main__":
    import_module("uvloop").run(work() if sys.argv[1] == "work" else main())
