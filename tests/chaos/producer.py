"""A producer: `python -m tests.chaos.producer JOURNAL KIND`, driven over its standard input.

Each line it reads is a number of jobs to be enqueued. An id is written to the
journal, and synced, only after its acknowledgement; then a line goes out.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from typing import Any, Final

from hms_svc import Job

PER_ROW: Final = 100
STEP_DEGREES: Final = 0.001
"""About 86 m of longitude at this latitude, 111 m of latitude: farther than any radius in use."""


def distinct(number: int) -> tuple[str, dict[str, Any]]:
    """A pothole of its own, by a user of its own."""
    row, column = divmod(number, PER_ROW)
    place = {"lat": 38.8 + row * STEP_DEGREES, "lon": -77.1 + column * STEP_DEGREES}
    return "pothole.report", {"user_id": f"usr-{number}", **place}


def one_place(number: int) -> tuple[str, dict[str, Any]]:
    """The one pothole of the city, by a user of its own."""
    return "pothole.report", {"user_id": f"usr-{number}", "lat": 38.8977, "lon": -77.0365}


def of_type(type: str) -> Callable[[int], tuple[str, dict[str, Any]]]:
    """A job of one of the test application's types, with a place of its own."""
    return lambda number: (type, {**distinct(number)[1], "number": number})


KINDS: Final = {"distinct": distinct, "one_place": one_place}


def main(journal: str, kind: str) -> None:
    make = KINDS.get(kind) or of_type(kind)
    number = 0
    with open(journal, "a", encoding="ascii") as acknowledged:
        for line in sys.stdin:
            wanted = int(line)
            while wanted:
                size = min(wanted, random.randint(1, 25))
                jobs = [Job(*make(number + offset)) for offset in range(size)]
                Job.enqueue_all(jobs)
                acknowledged.writelines(f"{job.id}\n" for job in jobs)
                acknowledged.flush()
                os.fsync(acknowledged.fileno())
                number += size
                wanted -= size
            print("acknowledged", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
