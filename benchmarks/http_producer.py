"""Posts pothole reports at a steady pace, each answered before the clock's next hundred.

python -m benchmarks.http_producer URL COUNT INTERVAL_SECONDS
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import httpx

from benchmarks.payloads import report


async def post_paced(url: str, count: int, interval_seconds: float) -> list[float]:
    """Post at the pace, whether the answers have come or not; return milliseconds to each answer."""
    taken: list[float] = []

    async def post(client: httpx.AsyncClient, number: int) -> None:
        began = time.perf_counter()
        body = {"type": "pothole.report", "data": report(number)}
        answer = await client.post(f"{url}/jobs", json=body)
        assert answer.status_code == 202, answer.text
        taken.append((time.perf_counter() - began) * 1000)

    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as group:
        start = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(start + number * interval_seconds - time.perf_counter())
            group.create_task(post(client, number))
    return sorted(taken)


if __name__ == "__main__":
    times = asyncio.run(post_paced(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
    print(json.dumps({"p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)]}))
