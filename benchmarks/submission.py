"""How a peer's producer submits jobs: what every peer's module shares. Standard library only.

python -m benchmarks.PEER_app produce noop|report bulk|one|paced COUNT [INTERVAL_SECONDS]
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from benchmarks import payloads

WIDTH = 100
Job = dict[str, Any]
"""The keyword arguments of one task."""


class Order(NamedTuple):
    """What the driver asked this producer for."""

    kind: str
    how: str
    jobs: int
    interval_seconds: float

    def job(self, number: int) -> Job:
        """Return the arguments of a job; one that is timed carries the moment before the call."""
        if self.kind == "report":
            return {"n": number, "notice_n": self.jobs + number, "data": payloads.report(number)}
        return payloads.noop(number, time.monotonic_ns() if self.how == "paced" else 0)

    def pause_seconds(self, number: int, began: float) -> float:
        """Return how long to wait before a job that is to be submitted at its tick."""
        return max(0.0, began + number * self.interval_seconds - time.perf_counter())


def ordered() -> Order:
    """Read the command line."""
    _, _, kind, how, count, *rest = sys.argv
    return Order(kind, how, int(count), float(rest[0]) if rest else 0.0)


def submit(send: Callable[[str, Job], object]) -> None:
    """Submit with a blocking client, one call a job, and print the seconds."""
    order = ordered()
    began = time.perf_counter()
    for number in range(order.jobs):
        if order.interval_seconds:
            time.sleep(order.pause_seconds(number, began))
        send(order.kind, order.job(number))
    print(json.dumps({"seconds": time.perf_counter() - began}))


async def submit_async(send: Callable[[str, Job], Awaitable[object]]) -> None:
    """Submit with an awaitable client, in bulk a hundred calls at once, and print the seconds."""
    order = ordered()
    began = time.perf_counter()
    if order.how == "bulk":
        for start in range(0, order.jobs, WIDTH):
            numbers = range(start, min(order.jobs, start + WIDTH))
            await asyncio.gather(*(send(order.kind, order.job(number)) for number in numbers))
    else:
        for number in range(order.jobs):
            if order.interval_seconds:
                await asyncio.sleep(order.pause_seconds(number, began))
            await send(order.kind, order.job(number))
    print(json.dumps({"seconds": time.perf_counter() - began}))
