"""Posts over HTTP under wrk, beside a bare application of the same framework."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.engines import Engines, Plan
from benchmarks.figures import Figure, ratio, share
from benchmarks.payloads import report
from benchmarks.pothole import REPORT
from benchmarks.rounds import interleaved
from benchmarks.running import Running
from benchmarks.stage import HMS_SVC, Stage
from tests.support.proxy import free_port

CONNECTIONS = (1, 10, 100)
SECONDS = 5
PACED = 2_000
_FOUND = re.compile(r"(50|99)%\s+([\d.]+)(us|ms|s)|Requests/sec:\s+([\d.]+)|Non-2xx.*: (\d+)")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Load(NamedTuple):
    """What a load generator saw: answers a second, milliseconds to an answer."""

    rate: float
    p50: float
    p99: float


class Waited(NamedTuple):
    """Milliseconds: from a post to its answer, and from acceptance to the end of the job."""

    answer_p50: float
    answer_p99: float
    completed_p50: float
    completed_p99: float


def load(url: str, folder: Path, connections: int) -> Load:
    """Post one report again and again over so many connections; every answer is a 2xx."""
    script = post_script(folder, REPORT)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", str(script)]
    said = subprocess.run([*command, f"{url}/jobs"], capture_output=True, text=True, check=True)
    seen: dict[str, float] = {}
    for share_, number, unit, rate, refused in _FOUND.findall(said.stdout):
        assert not refused, said.stdout
        seen["rate" if rate else share_] = float(rate) if rate else float(number) * _MS[unit]
    return Load(seen["rate"], seen["50"], seen["99"])


def post_script(folder: Path, type: str) -> Path:
    """Write what the load generator posts."""
    script = folder / "post.lua"
    body = json.dumps({"type": type, "data": report(1)})
    script.write_text(
        f"wrk.method='POST'\nwrk.headers['content-type']='application/json'\nwrk.body='{body}'\n"
    )
    return script


def ours(engines: Engines, connections: int) -> Load:
    """Post to a service whose workers do something else."""
    with Stage(1, engines) as stage:
        url, _ = listening(stage, "--types", "bench.async")
        return load(url, stage.folder, connections)


def bare(connections: int) -> Load:
    """Post to the bare application."""
    with Stage(1) as stage:
        port = free_port()
        running = stage.start(sys.executable, "-m", "benchmarks.bare_app", str(port))
        url = f"http://127.0.0.1:{port}"
        running.wait_until("the bare application", lambda: answers(f"{url}/"))
        return load(url, stage.folder, connections)


def until_completed(engines: Engines, reports: int) -> Waited:
    """Post 200 different reports a second, and let the service work them off."""
    with Stage(1, engines) as stage:
        url, running = listening(stage, "--types", f"{REPORT},crew.notify")
        time.sleep(1.0)
        seen = stage.call(
            sys.executable, "-m", "benchmarks.http_producer", url, str(reports), "0.005"
        )
        look = stage.observer
        running.wait_until("last case", lambda: look.completed(REPORT) == reports)
        waited = sorted(
            float(job.finished_at - job.enqueued_at)
            for job in look.jobs(f"state:completed type:{REPORT}")
            if job.finished_at is not None
        )
        return Waited(seen["p50"], seen["p99"], share(waited, 0.5), share(waited, 0.99))


def listening(stage: Stage, *options: str) -> tuple[str, Running]:
    """Start a service with an HTTP server, and wait until it is ready; return its address."""
    http = f"127.0.0.1:{free_port()}"
    running = stage.start(*HMS_SVC, "serve", "--http", http, *options)
    running.wait_until("HTTP server", lambda: answers(f"http://{http}/readyz"))
    running.wait_until("ready worker", stage.observer.has_worker)
    return f"http://{http}", running


def answers(url: str) -> bool:
    """Return whether somebody answers there."""
    try:
        return httpx.get(url).status_code != 503
    except httpx.TransportError:
        return False


def run(plan: Plan) -> list[Figure]:
    """Measure posts at three numbers of connections, and the way to the end at a steady pace."""
    if shutil.which("wrk") is None:
        raise SystemExit("benchmarks http_posts needs wrk on the PATH")
    figures: list[Figure] = []
    for number in CONNECTIONS:
        found = interleaved(
            {
                "ours": partial(ours, plan.engines, number),
                "bare": partial(bare, number),
            },
            plan.rounds,
        )
        rates = {}
        for name, words in (("ours", "posts"), ("bare", "bare 202")):
            rounds = found[name]
            title = f"{words}, {number} connections"
            rates[name] = Figure(title, "per s", tuple(each.rate for each in rounds))
            figures.append(rates[name])
            figures += [
                Figure(f"{title}, p50", "ms", tuple(each.p50 for each in rounds)),
                Figure(f"{title}, p99", "ms", tuple(each.p99 for each in rounds)),
            ]
        figures.append(ratio(f"posts against bare, {number}", rates["ours"], rates["bare"]))
    reports = plan.of(PACED, 400)
    [waited] = interleaved(
        {"completed": lambda: until_completed(plan.engines, reports)}, plan.rounds
    ).values()
    for place, words in enumerate(Waited._fields):
        title = f"200 reports/s over HTTP, {words.replace('_', ', ')}"
        figures.append(Figure(title, "ms", tuple(each[place] for each in waited)))
    return figures
