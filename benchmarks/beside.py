"""A drain of no-op jobs by itself, beside a console that watches, and beside posts over HTTP."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from benchmarks.console import Terminal
from benchmarks.engines import Engines, Plan
from benchmarks.figures import Figure, ratio
from benchmarks.http_posts import listening, post_script
from benchmarks.rounds import interleaved
from benchmarks.stage import Stage

JOBS = 100_000
CONNECTIONS = 4
POSTED = "bench.quiet"
"""A type that nobody serves here: posts are accepted, and wait."""
SECONDS = 600
Beside = Callable[[Stage], AbstractContextManager[None]]


@contextmanager
def nobody(stage: Stage) -> Iterator[None]:
    """Disturb nothing."""
    yield


@contextmanager
def console(stage: Stage) -> Iterator[None]:
    """Keep a console on the screen, which is read as a terminal does."""
    over = threading.Event()
    with Terminal(stage.environment, "--attach") as screen:
        screen.wait_for("Queues")

        def read() -> None:
            while not over.is_set():
                screen.read(0.1)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield
        finally:
            over.set()
            reader.join()


@contextmanager
def posts(stage: Stage) -> Iterator[None]:
    """Post as fast as a server of its own answers, over a few connections."""
    url, server = listening(stage, "--types", "bench.dead")
    script = post_script(stage.folder, POSTED)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), f"{url}/jobs"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as load:
        try:
            yield
        finally:
            load.kill()
            server.stop()
    accepted = stage.observer.counts(POSTED).queued
    assert accepted, "no post was accepted"
    print(f"  {accepted} posts were accepted", file=sys.stderr)


def drain(beside: Beside, engines: Engines, jobs: int) -> float:
    """Return jobs a second of one worker with the default slots, over the middle of the backlog."""
    with Stage(jobs, engines) as stage:
        stage.produce("bulk", "bench.async", jobs)
        with beside(stage):
            worker = stage.serve("--types", "bench.async")
            called = stage.probe.called
            worker.wait_until("first tenth", lambda: called() >= jobs // 10)
            began, first = time.perf_counter(), called()
            worker.wait_until("nine tenths", lambda: called() >= jobs * 9 // 10, 600.0)
            return (called() - first) / (time.perf_counter() - began)


def run(plan: Plan) -> list[Figure]:
    """Measure the three, and divide round by round."""
    if shutil.which("wrk") is None:
        raise SystemExit("benchmarks beside needs wrk on the PATH")
    jobs = plan.of(JOBS, 10_000)
    found = interleaved(
        {
            name: partial(drain, beside, plan.engines, jobs)
            for name, beside in (
                ("by itself", nobody),
                ("beside a console", console),
                (f"beside posts over {CONNECTIONS} connections", posts),
            )
        },
        plan.rounds,
    )
    figures = {
        name: Figure(f"drain {name}", "jobs/s", tuple(rounds)) for name, rounds in found.items()
    }
    alone, *others = figures.values()
    ratios = [ratio(f"{each.name} / by itself", each, alone) for each in others]
    return [*figures.values(), *ratios]
