"""Handlers that start processes, hang and block; `HMS_SVC_APP=tests.chaos.world_app:app` loads them."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from hms_svc import Registry, RunningJob, dao
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import NoActiveJob
from hms_svc.settings import load_settings

APP: Final = "tests.chaos.world_app:app"
app = Registry()
forked = multiprocessing.get_context("fork")
ONCE = RetryPolicy(max_attempts=1)


@app.job("world.pid", retry=ONCE)
def tell_process(job: RunningJob) -> int:
    """Return the process."""
    return os.getpid()


@app.job("world.child", retry=ONCE)
def end_child(job: RunningJob) -> list[int | None]:
    """End children by each signal that also stops a worker, right after their start."""
    codes = []
    for number in (signal.SIGTERM, signal.SIGHUP):
        child = forked.Process(target=time.sleep, args=(600,))
        child.start()
        assert child.pid is not None
        os.kill(child.pid, number)
        child.join(20)
        codes.append(child.exitcode)
        child.kill()
    return codes


@app.job("world.async_child", retry=ONCE)
async def end_child_from_loop(job: RunningJob) -> list[int | None]:
    """Do the same on the thread of the loop."""
    return end_child(job)


@app.job("world.pool", retry=ONCE)
def use_pool(job: RunningJob) -> list[int]:
    """Compute in a pool, which ends its processes by SIGTERM."""
    with forked.Pool(2) as pool:
        return pool.map(abs, [-1, -2, -3])


@app.job("world.command", retry=ONCE)
def end_command(job: RunningJob) -> list[object]:
    """End a program that was started."""
    with subprocess.Popen(
        [sys.executable, "-c", "import signal, sys; print('up', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        process.terminate()
        return [said, process.wait(20)]


@app.job("world.fork", retry=ONCE)
def fork_and_look(job: RunningJob) -> Any:
    """Have a child look at what it has, and come out of the handler in its own ways."""
    codes = [_fork(way) for way in ("looks", "raises", "exits")]
    pid = os.fork()
    return [*codes, _code_of(pid)] if pid else "the child returns"


@app.job("world.async_fork", retry=ONCE)
async def fork_and_await(job: RunningJob) -> int:
    """Have a child await on the worker's loop."""
    pid = os.fork()
    if pid == 0:
        await asyncio.sleep(0)
    return await asyncio.to_thread(_code_of, pid)


def _fork(way: str) -> int:
    pid = os.fork()
    if pid:
        return _code_of(pid)
    if way == "looks":
        print("the child prints", flush=True)
        sys.stdout.buffer.write(b"and writes bytes\n")
        os._exit(_looks())
    if way == "exits":
        sys.exit(7)
    raise KeyError("in the child")


def _looks() -> int:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    if handlers != [signal.SIG_DFL, signal.SIG_DFL]:
        return 1
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return 2
    if signal.set_wakeup_fd(-1) != -1:
        return 3
    if signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        return 4
    lock = Path(f"{load_settings().settings.broker.path}.lock")
    if any(each.resolve() == lock.resolve() for each in Path("/proc/self/fd").iterdir()):
        return 5
    try:
        dao.case_exists(1.0, 2.0)
    except NoActiveJob:
        return 0
    return 6


def _code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@app.job("world.hang", timeout_seconds=0.3, retry=RetryPolicy(max_attempts=2, base_seconds=0.01))
def hang(job: RunningJob) -> None:
    """Never return, in the first attempt."""
    if job.attempt == 1:
        threading.Event().wait()


@app.job("world.slow", retry=ONCE)
async def finish_when_told(job: RunningJob) -> str:
    """Come to an end when the file is there."""
    until = Path(job.data["until"])
    while not until.exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
        await asyncio.sleep(0.01)
    return "finished"


@app.job("world.orphan", retry=ONCE)
def leave_orphan(job: RunningJob) -> int:
    """Start a program whose own parent is gone at once, as daemons do; return its pid."""
    script = "sleep 0.2 >&- 2>&- & echo $!"
    return int(subprocess.check_output(["/bin/sh", "-c", script], text=True))


def become_subreaper() -> None:
    """Make orphans below this process its own, as they are those of the first of a container."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


if __name__ == "__main__":
    become_subreaper()
    os.execvp(sys.argv[1], sys.argv[1:])
