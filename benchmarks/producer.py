"""Submits jobs from a process of its own, and prints how long that took as one line of JSON.

python -m benchmarks.producer bulk|one|paced TYPE COUNT [INTERVAL_SECONDS]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.payloads import noop, report
from hms_svc import Job

BATCH = 1000


def _payload(type: str) -> Callable[[int], dict[str, Any]]:
    return report if type == "pothole.report" else noop


def bulk(type: str, count: int) -> float:
    """Submit many at a time; return seconds."""
    payload = _payload(type)
    Job.enqueue_all([])
    began = time.perf_counter()
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        Job.enqueue_all(Job(type=type, data=payload(number)) for number in numbers)
    return time.perf_counter() - began


def one_by_one(type: str, count: int) -> float:
    """Submit each when the one before is accepted; return seconds."""
    payload = _payload(type)
    Job.enqueue_all([])
    began = time.perf_counter()
    for number in range(count):
        Job(type=type, data=payload(number)).enqueue()
    return time.perf_counter() - began


def paced(type: str, count: int, interval_seconds: float) -> float:
    """Submit one at each tick; return seconds. No-op jobs carry the moment before the call."""
    reports = type == "pothole.report"
    Job.enqueue_all([])
    began = time.perf_counter()
    for number in range(count):
        pause = began + number * interval_seconds - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        data = report(number) if reports else noop(number, time.monotonic_ns())
        Job(type=type, data=data).enqueue()
    return time.perf_counter() - began


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    how, type, count, *rest = arguments
    if how == "bulk":
        seconds = bulk(type, int(count))
    elif how == "one":
        seconds = one_by_one(type, int(count))
    else:
        seconds = paced(type, int(count), float(rest[0]))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1:])
