"""A hand-written Redis queue, as fast as a page of code gets it: the limit of the Redis broker.

Lua settles a hundred jobs and claims the next hundred in one exchange, which is
under way while the batch in progress runs. There are leases, the attempt as fence,
results with a lifetime and one event a job, and nothing else: no retries, no
reaper, no unique keys, no counters, no history. Runs in an environment of its
own, with hiredis, msgspec and uvloop.

    python -m benchmarks.redis_hand_loop produce noop bulk|one|paced COUNT [INTERVAL] | work
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.probe import Probe
from benchmarks.small_redis import Connection, connect
from benchmarks.submission import Job, Order, ordered, submit_async

BATCH = 100
INSERT_BATCH = 500
LEASE_MS = 30_000
RESULT_MS = 300_000
READY, LEASES, EVENTS = "ready", "leases", "events"
ANSWER = {"ok": True}
msgspec: Any = import_module("msgspec")
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode
Finished = list[Any]


class Scripts:
    """The three scripts, loaded."""

    def __init__(self, connection: Connection) -> None:
        self._call = connection.call
        self._known: dict[str, bytes] = {}

    async def load(self) -> None:
        """Load them; to be awaited first."""
        for name in ("enqueue", "claim", "settle"):
            text = Path(__file__).with_name("lua").joinpath(f"hand_{name}.lua").read_text()
            self._known[name] = await self._call("SCRIPT", "LOAD", text)

    def enqueue(self, jobs: list[Any]) -> asyncio.Future[Any]:
        """Submit ids and payloads, in turns."""
        return self._call("EVALSHA", self._known["enqueue"], 1, READY, *jobs)

    def claim(self) -> asyncio.Future[Any]:
        """Lease a batch."""
        until = int(time.time() * 1000) + LEASE_MS
        return self._call("EVALSHA", self._known["claim"], 2, READY, LEASES, BATCH, until)

    def settle(self, finished: Finished) -> asyncio.Future[Any]:
        """Settle ids, attempts and results, in turns."""
        return self._call("EVALSHA", self._known["settle"], 2, LEASES, EVENTS, RESULT_MS, *finished)


async def produce() -> None:
    """Submit jobs: one call each, or in bulk 500 to a call with two calls under way."""
    scripts = Scripts(await connect(os.environ["BENCH_REDIS"]))
    await scripts.load()
    order = ordered()
    if order.how == "bulk":
        await _produce_bulk(scripts, order)
        return

    async def send(kind: str, job: Job) -> None:
        await scripts.enqueue([f"{job['n']:x}", encode(job)])

    await submit_async(send)


async def _produce_bulk(scripts: Scripts, order: Order) -> None:
    began = time.perf_counter()
    under_way: asyncio.Future[Any] | None = None
    for start in range(0, order.jobs, INSERT_BATCH):
        jobs: list[Any] = []
        for number in range(start, min(order.jobs, start + INSERT_BATCH)):
            jobs += (f"{number:x}", encode(order.job(number)))
        going = scripts.enqueue(jobs)
        if under_way is not None:
            await under_way
        under_way = going
    if under_way is not None:
        await under_way
    print(json.dumps({"seconds": time.perf_counter() - began}))


class Worker:
    """Runs jobs, each a task of its own, until the process is ended."""

    def __init__(self, connection: Connection, scripts: Scripts, probe: Probe) -> None:
        self._connection = connection
        self._scripts = scripts
        self._probe = probe
        self._finished: Finished = []

    async def run(self) -> None:
        """Exchange and run, for ever."""
        loop = asyncio.get_running_loop()
        claimed = await self._scripts.claim()
        while True:
            if not claimed:
                claimed = await self._exchange()
                if not claimed and not self._finished:
                    await self._connection.call("BLMOVE", READY, READY, "LEFT", "LEFT", 0)
                continue
            under_way = loop.create_task(self._exchange())
            await asyncio.sleep(0)  # what has finished leaves before the batch in progress runs
            each = iter(claimed)
            for task in [
                loop.create_task(self._run(*job)) for job in zip(each, each, each, strict=True)
            ]:
                await task
            claimed = await under_way

    async def _exchange(self) -> Any:
        finished, self._finished = self._finished, []
        settled = self._scripts.settle(finished) if finished else None
        claimed = self._scripts.claim()
        if settled is not None:
            await settled
        return await claimed

    async def _run(self, job_id: bytes, attempt: int, payload: bytes) -> None:
        self._finished += (job_id, attempt, encode(await self._handle(decode(payload))))

    async def _handle(self, payload: dict[str, Any]) -> dict[str, bool]:
        self._probe.hit(payload["n"], payload.get("sent_ns", 0))
        return ANSWER


async def work() -> None:
    """Connect and run."""
    connection = await connect(os.environ["BENCH_REDIS"])
    scripts = Scripts(connection)
    await scripts.load()
    await Worker(connection, scripts, Probe.of_environment()).run()


if __name__ == "__main__":
    import_module("uvloop").run(work() if sys.argv[1] == "work" else produce())
