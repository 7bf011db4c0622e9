"""What a stop does to running jobs, as docs/handlers.md says: coroutines, threads, and processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.command_line import ROOT, environment, make_cli
from tests.support.waiting import PATIENCE_SECONDS, wait_until

APP = """
import asyncio, threading
from pathlib import Path
from hms_svc import Registry, RunningJob

registry = Registry()
HERE = Path(__file__).parent


def is_first(job: RunningJob) -> bool:
    began = HERE / f"{job.id} began"
    if began.exists():
        return False
    job.cursor = "kept"
    began.touch()
    return True


@registry.job("stop.async")
async def coroutine(job: RunningJob) -> str:
    if is_first(job):
        try:
            await asyncio.Event().wait()
        finally:
            (HERE / "cleaned").touch()
    return job.cursor


@registry.job("stop.plain")
def plain(job: RunningJob) -> str:
    if is_first(job):
        threading.Event().wait()
    return job.cursor


@registry.job("stop.isolated", isolate="process")
def isolated(job: RunningJob) -> str:
    kept = job.step_blocking("kept", lambda: "kept" if not (HERE / f"{job.id} began").exists() else "lost")
    if is_first(job):
        threading.Event().wait()
    return kept
"""
TYPES = ("async", "plain", "isolated")


def test_jobs_that_outlast_the_grace_period_begin_again_with_what_they_kept(tmp_path: Path) -> None:
    (tmp_path / "stopped.py").write_text(APP)
    cli = make_cli(tmp_path / "data")
    jobs = [{"id": name, "type": f"stop.{name}", "data": None} for name in TYPES]
    cli("enqueue", "-", stdin=json.dumps(jobs))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
    ours = {**kept, **environment(tmp_path / "data"), "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    serve = [sys.executable, "-m", "hms_svc", "serve", "--no-http", "--app", "stopped:registry"]
    with (
        open(tmp_path / "serve.log", "wb") as log,
        subprocess.Popen(
            serve, env={**ours, "HMS_SVC_GRACE_SECONDS": "0.1"}, stdout=log, stderr=log
        ) as process,
    ):
        wait_until("all run", lambda: len(list(tmp_path.glob("* began"))) == len(TYPES))
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0, (tmp_path / "serve.log").read_text()
    assert (tmp_path / "cleaned").exists()
    stopped = [cli("jobs", "show", name, "--json").row for name in TYPES]
    assert [(job["state"], job["attempt"]) for job in stopped] == [("queued", 0)] * len(TYPES)
    subprocess.run(
        [*serve, "--drain"], env=ours, check=True, capture_output=True, timeout=PATIENCE_SECONDS
    )
    ended = [cli("jobs", "show", name, "--json").row for name in TYPES]
    assert [(job["state"], job["attempt"], job["result"]) for job in ended] == [
        ("completed", 1, "kept")
    ] * len(TYPES)
