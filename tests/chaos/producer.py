"""A producer: `python -m tests.chaos.producer JOURNAL KIND [insist]`, driven over its standard input.

Each line it reads is a number of jobs to be enqueued. An id is written to the
journal, and synced, only after its acknowledgement; then a line goes out. What
is refused ends the line that asked for it, or is submitted again until it is
accepted (`insist`); its ids go into a second file, JOURNAL.refused.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import redis

from hms_svc import Job
from hms_svc.domain.errors import BrokerUnavailable

PER_ROW: Final = 100
STEP_DEGREES: Final = 0.001
"""About 86 m of longitude at this latitude, 111 m of latitude: farther than any radius in use."""
ELSEWHERE: Final = 100_000
"""Places from this number on are for what is pushed, so that two producers may work side by side.

From twice this number on they are for jobs that have names.
"""
PADDING_CHARACTERS: Final = 20_000
AGAIN_SECONDS: Final = 0.05

Hand = Callable[[list[Job]], None]
"""Hands jobs in; raises BrokerUnavailable where it was not told that they are accepted."""


def distinct(number: int) -> Job:
    """A pothole of its own, by a user of its own."""
    row, column = divmod(number, PER_ROW)
    place = {"lat": 38.8 + row * STEP_DEGREES, "lon": -77.1 + column * STEP_DEGREES}
    return Job("pothole.report", {"user_id": f"usr-{number}", **place})


def one_place(number: int) -> Job:
    """The one pothole of the city, by a user of its own."""
    return Job("pothole.report", {"user_id": f"usr-{number}", "lat": 38.8977, "lon": -77.0365})


def of_type(type: str, *, first: int = 0, **more: Any) -> Callable[[int], Job]:
    """A job of one of the test application's types, with a place of its own from the `first` on."""
    return lambda number: Job(type, {**distinct(first + number).data, "number": number, **more})


def named(type: str) -> Callable[[int], Job]:
    """The same, under an id that the next producer uses too, at places where nobody else opens cases."""
    return lambda number: Job(type, distinct(2 * ELSEWHERE + number).data, id=f"named-{number}")


def maker_of(kind: str) -> Callable[[int], Job]:
    """Read a kind: `distinct`, `one_place`, or a type, which may have a word and a colon before it."""
    word, _, type = kind.rpartition(":")
    if word == "named":
        return named(type)
    if word == "push":
        return of_type(type, first=ELSEWHERE)
    if word == "padded":
        return of_type(type, padding="x" * PADDING_CHARACTERS)
    return {"distinct": distinct, "one_place": one_place}.get(type) or of_type(type)


def pushing() -> Hand:
    """Hand jobs in as a stranger in any language does."""
    server = redis.Redis.from_url(os.environ["HMS_SVC_BROKER_URL"])

    def push(jobs: list[Job]) -> None:
        items = [json.dumps({"id": job.id, "data": job.data}) for job in jobs]
        try:
            server.lpush(f"jobs:{jobs[0].type}", *items)
        except redis.RedisError as error:
            raise BrokerUnavailable(str(error)) from error

    return push


def write(path: str, jobs: list[Job]) -> None:
    """Append ids, and sync them."""
    with open(path, "a", encoding="ascii") as file:
        file.writelines(f"{job.id}\n" for job in jobs)
        file.flush()
        os.fsync(file.fileno())


def main(journal: str, kind: str, mode: str = "") -> None:
    make, number = maker_of(kind), 0
    hand = pushing() if kind.startswith("push:") else Job.enqueue_all

    def accept(jobs: list[Job]) -> bool:
        while True:
            try:
                hand(jobs)
            except BrokerUnavailable:
                write(f"{journal}.refused", jobs)
                if mode != "insist":
                    return False
                time.sleep(AGAIN_SECONDS)
            else:
                write(journal, jobs)
                return True

    for line in sys.stdin:
        left, answer = int(line), "acknowledged"
        while left and answer == "acknowledged":
            jobs = [make(number + offset) for offset in range(min(left, random.randint(1, 25)))]
            number, left = number + len(jobs), left - len(jobs)
            if not accept(jobs):
                answer = "refused"
        print(answer, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
