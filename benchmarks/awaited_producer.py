"""Submits no-op jobs one at a time from a loop, and prints the seconds as one line of JSON.

python -m benchmarks.awaited_producer surface|crowd|broker|lpush COUNT

`surface` awaits `hms_svc.aio.Job.enqueue`, `crowd` a hundred of them at once, `broker` the
broker itself; `lpush` is a bare LPUSH of the same payload by redis-py.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from benchmarks.payloads import noop
from hms_svc import aio, bootstrap
from hms_svc.domain.job import make_job
from hms_svc.settings import load_settings

TYPE = "bench.async"
CROWD = 100
Send = Callable[[int], Awaitable[object]]


@asynccontextmanager
async def surface() -> AsyncIterator[Send]:
    """Open the awaitable surface."""
    await aio.Job.enqueue_all([])
    yield lambda number: aio.Job(type=TYPE, data=noop(number)).enqueue()


@asynccontextmanager
async def broker() -> AsyncIterator[Send]:
    """Open the broker on this loop."""
    async with bootstrap.backend(load_settings().settings) as backend:
        yield lambda number: backend.broker.enqueue(
            [make_job(TYPE, noop(number), now_ms=time.time_ns() // 1_000_000)]
        )


@asynccontextmanager
async def lpush() -> AsyncIterator[Send]:
    """Open a client of redis-py with one connection."""
    import redis.asyncio

    async with redis.asyncio.Redis.from_url(
        os.environ["BENCH_REDIS"], single_connection_client=True
    ) as client:
        yield lambda number: client.execute_command(  # type: ignore[no-untyped-call] # redis-py has no types for it
            "LPUSH", "bare", msgspec.json.encode(noop(number))
        )


async def main(how: str, count: int) -> None:
    """Submit, and tell how long that took."""
    opened = {"broker": broker, "lpush": lpush}.get(how, surface)()
    width = CROWD if how == "crowd" else 1
    async with opened as send:
        await send(count)
        began = time.perf_counter()
        for start in range(0, count, width):
            numbers = range(start, min(count, start + width))
            if width == 1:
                await send(start)
            else:
                await asyncio.gather(*map(send, numbers))
        seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
