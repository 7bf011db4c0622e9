"""The console on a terminal of its own: from key to paint, what it costs, how much it holds."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Self

from benchmarks.engines import Engines, Plan
from benchmarks.figures import Figure, share
from benchmarks.rounds import interleaved
from benchmarks.stage import HMS_SVC, Stage

QUEUED, DEAD, CAUSES = 1_000_000, 100_000, 5
EVENTS_A_SECOND = 500
MOVES, TURNS = 200, 60
WATCHED_SECONDS = 600
WINDOW_SECONDS = 20.0
DRAIN_SECONDS = 6.0
BACKLOG = 300_000
PATIENCE_SECONDS = 60.0
LINES, COLUMNS = 40, 120
TITLES = {"1": "Overview", "2": "Jobs", "3": "Failures"}
PLACES = ("serve", "thread", "process")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Seen(NamedTuple):
    """Milliseconds from key to paint, sorted by kind; costs a second; MiB; the groups shown."""

    first_paint_ms: float
    moves_ms: list[float]
    turns_ms: list[float]
    idle_cpu: float
    busy_cpu: float
    commands_a_second: float
    start_mib: float
    end_mib: float
    groups: int


class Together(NamedTuple):
    """With workers inside that are busy: milliseconds from key to paint, jobs a second."""

    moves_ms: list[float]
    drained: float


class Terminal:
    """A console behind a pseudo-terminal: keys in, bytes out."""

    def __init__(self, environment: dict[str, str], *options: str) -> None:
        self._master, worker = pty.openpty()
        fcntl.ioctl(worker, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            [*HMS_SVC, *options],
            env={**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
            stdin=worker,
            stdout=worker,
            stderr=worker,
            start_new_session=True,
        )
        os.close(worker)
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        while self._process.poll() is None:
            self.read(0.2)
        os.close(self._master)

    def read(self, seconds: float) -> bytes:
        """Return what is painted next, nothing where that takes longer."""
        if not select.select([self._master], [], [], seconds)[0]:
            return b""
        try:
            return os.read(self._master, 65536)
        except OSError:
            return b""

    def settle(self, seconds: float = 0.3) -> bytes:
        """Read until nothing was painted for so long."""
        painted = b""
        while more := self.read(seconds):
            painted += more
        return painted

    def wait_for(self, text: str) -> bytes:
        """Read until a text was painted."""
        painted, end = b"", time.perf_counter() + PATIENCE_SECONDS
        while text.encode() not in painted:
            painted += self.read(0.05)
            if time.perf_counter() > end:
                raise RuntimeError(f"{text!r} was not painted: {painted[-500:]!r}")
        return painted

    def paint_ms(self, key: bytes, text: str) -> float:
        """Press a key; return milliseconds until a text was painted."""
        while self.read(0.0):
            pass
        pressed = time.perf_counter()
        os.write(self._master, key)
        self.wait_for(text)
        return (time.perf_counter() - pressed) * 1000

    def watch(self, seconds: float) -> float:
        """Wait for a while; return the share of a core that it took."""
        before, began = self._cpu_seconds(), time.perf_counter()
        while (left := began + seconds - time.perf_counter()) > 0:
            self.read(min(left, 0.5))
        return (self._cpu_seconds() - before) / (time.perf_counter() - began)

    def _cpu_seconds(self) -> float:
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

    def resident_mib(self) -> float:
        """Return its memory."""
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def watch_city(queued: int, dead: int, watched_seconds: float, engines: Engines) -> Seen:
    """Fill a city, let events flow, and use its console as a person does."""
    with Stage(queued + dead, engines) as stage:
        _fill(stage, queued, dead)
        known = _clients(stage)
        with Terminal(stage.environment, "--attach") as screen:
            screen.wait_for("Queues")
            first = (time.perf_counter() - screen.began) * 1000
            screen.settle()
            idle = screen.watch(WINDOW_SECONDS)
            flow = _Flow(stage, watched_seconds + 120)
            groups = _groups(screen)
            moves, turns = _moves(screen), _turns(screen)
            start = screen.resident_mib()
            commands = _commands_a_second(stage, known, screen)
            busy = screen.watch(WINDOW_SECONDS)
            screen.watch(watched_seconds)
            end = screen.resident_mib()
            flow.stop()
        return Seen(first, moves, turns, idle, busy, commands, start, end, groups)


def work_inside(workers: str, jobs: int, engines: Engines) -> Together:
    """Let the workers inside drain a backlog while a person moves about; `serve` has no screen."""
    with Stage(jobs, engines) as stage:
        stage.produce("bulk", "bench.async", jobs)
        called = stage.probe.called
        if workers == "serve":
            worker = stage.serve("--concurrency", "8", "--types", "bench.async")
            worker.wait_until("first jobs", lambda: called() > 1000)
            return Together([0.0], _drained(called, lambda: time.sleep(0.02)))
        with Terminal(stage.environment, "--workers", workers, "--types", "bench.async") as screen:
            screen.wait_for("Queues")
            while called() < 1000:
                screen.read(0.05)
            moves: list[float] = []
            screen.paint_ms(b"2", "Jobs")
            screen.settle()
            rate = _drained(called, lambda: moves.append(_move(screen, len(moves))))
            return Together(sorted(moves), rate)


def _drained(called: Callable[[], int], meanwhile: Callable[[], None]) -> float:
    began, first = time.perf_counter(), called()
    while time.perf_counter() < began + DRAIN_SECONDS:
        meanwhile()
    return (called() - first) / (time.perf_counter() - began)


def _move(screen: Terminal, number: int) -> float:
    time.sleep(0.03)
    return screen.paint_ms(b"\x1b[B" if number % 2 == 0 else b"\x1b[A", "▸")


def _fill(stage: Stage, queued: int, dead: int) -> None:
    stage.produce("bulk", "bench.causes", dead)
    worker = stage.serve("--types", "bench.causes", "--concurrency", "100")
    look = stage.observer
    worker.wait_until("last dead", lambda: look.counts("bench.causes").dead == dead, 900.0)
    worker.stop()
    stage.produce("bulk", "bench.async", queued)


class _Flow:
    """Some hundred jobs a second, done as they come: each an event."""

    def __init__(self, stage: Stage, seconds: float) -> None:
        self._worker = stage.serve("--types", "bench.quiet", "--concurrency", "20")
        self._worker.wait_until("worker", stage.observer.has_worker)
        count, interval = int(EVENTS_A_SECOND * seconds), 1 / EVENTS_A_SECOND
        self._producer = stage.start(
            sys.executable,
            "-m",
            "benchmarks.producer",
            "paced",
            "bench.quiet",
            str(count),
            str(interval),
        )
        done = partial(stage.observer.completed, "bench.quiet")
        self._worker.wait_until("flow", lambda: done() > EVENTS_A_SECOND)

    def stop(self) -> None:
        """End it."""
        self._producer.stop()
        self._worker.stop()


def _groups(screen: Terminal) -> int:
    """Count the rows of dead letters by their causes."""
    screen.paint_ms(b"3", "Failures")
    painted = screen.settle().decode(errors="replace")
    return len(set(re.findall(r"Fault[A-E]\b", painted)))


def _moves(screen: Terminal) -> list[float]:
    """Press the cursor keys in a list of jobs."""
    screen.paint_ms(b"2", "Jobs")
    screen.settle()
    times = []
    for number in range(MOVES):
        times.append(screen.paint_ms(b"\x1b[B" if number // 15 % 2 == 0 else b"\x1b[A", "▸"))
        time.sleep(0.03)
    return sorted(times)


def _turns(screen: Terminal) -> list[float]:
    """Go from screen to screen."""
    times = []
    for number in range(TURNS):
        key = str(number % 3 + 1)
        times.append(screen.paint_ms(key.encode(), TITLES[key]))
        time.sleep(0.15)
    screen.paint_ms(b"1", "Overview")
    return sorted(times)


def _clients(stage: Stage) -> set[str]:
    if not stage.engines.redis:
        return set()
    return {client["addr"] for client in _redis(stage).client_list()}


def _commands_a_second(stage: Stage, known: set[str], screen: Terminal) -> float:
    """Count the commands that the console itself sends, those inside of scripts left out."""
    if not stage.engines.redis:
        return 0.0
    own = _own_addresses(screen.pid)
    counted, over = [0], threading.Event()
    connection = _redis(stage)

    def count() -> None:
        with connection.monitor() as monitor:
            for command in monitor.listen():
                counted[0] += f"{command['client_address']}:{command['client_port']}" in own
                if over.is_set():
                    return

    counter = threading.Thread(target=count, daemon=True)
    counter.start()
    screen.watch(WINDOW_SECONDS)
    over.set()
    counter.join(5.0)
    return counted[0] / WINDOW_SECONDS


def _own_addresses(pid: int) -> set[str]:
    """Return the local ends of a process's connections."""
    listed = subprocess.run(["ss", "-tnpH"], capture_output=True, text=True, check=True).stdout
    return {line.split()[3] for line in listed.splitlines() if f"pid={pid}," in line}


def _redis(stage: Stage) -> Any:
    from redis import Redis

    return Redis.from_url(stage.redis.url, decode_responses=True)


def run(plan: Plan) -> list[Figure]:
    """Measure over a million queued and a hundred thousand dead."""
    queued, dead = plan.of(QUEUED, 10_000), plan.of(DEAD, 1_000)
    watched = float(plan.of(WATCHED_SECONDS, 20))
    found = interleaved(
        {"console": partial(watch_city, queued, dead, watched, plan.engines)}, plan.rounds
    )["console"]
    backlog = plan.of(BACKLOG, BACKLOG // 2)
    inside = interleaved(
        {name: partial(work_inside, name, backlog, plan.engines) for name in PLACES}, plan.rounds
    )

    def figure(name: str, unit: str, aim: str, values: list[float]) -> Figure:
        return Figure(name, unit, tuple(values), aim)

    each = found
    return [
        figure("start to first paint", "ms", "500", [seen.first_paint_ms for seen in each]),
        figure("cursor key to paint, p50", "ms", "", [share(seen.moves_ms, 0.5) for seen in each]),
        figure(
            "cursor key to paint, p95", "ms", "50", [share(seen.moves_ms, 0.95) for seen in each]
        ),
        figure("screen key to paint, p50", "ms", "", [share(seen.turns_ms, 0.5) for seen in each]),
        figure(
            "screen key to paint, p95", "ms", "50", [share(seen.turns_ms, 0.95) for seen in each]
        ),
        figure("CPU without events", "% of a core", "2", [seen.idle_cpu * 100 for seen in each]),
        figure(
            "CPU at 500 events a second", "% of a core", "", [seen.busy_cpu * 100 for seen in each]
        ),
        figure("commands to Redis", "a second", "20", [seen.commands_a_second for seen in each]),
        figure("memory at the start", "MiB", "", [seen.start_mib for seen in each]),
        figure(
            f"memory after {watched:.0f} s more", "MiB", "flat", [seen.end_mib for seen in each]
        ),
        figure(
            f"rows for {dead:,} dead", "rows", str(CAUSES), [float(seen.groups) for seen in each]
        ),
        *(
            figure(
                f"no-op drain, 8 slots, {name}", "jobs/s", "", [one.drained for one in inside[name]]
            )
            for name in PLACES
        ),
        *(
            figure(
                f"cursor key to paint meanwhile, p95, {name}",
                "ms",
                "50",
                [share(one.moves_ms, 0.95) for one in inside[name]],
            )
            for name in PLACES[1:]
        ),
    ]
