"""Disk syncs for a hundred cases that arrive together, counted by strace on the worker."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

from benchmarks.engines import EMBEDDED, Plan
from benchmarks.figures import Figure
from benchmarks.rounds import interleaved
from benchmarks.stage import HMS_SVC, Stage

CASES = 100
REPORT, NOTICE = "pothole.report", "crew.notify"
_CALL = re.compile(r"^(?:\d+ +)?(?P<at>\d+\.\d+) .*?f(?:data)?sync\(\d+<(?P<path>[^>]*)>")
_LEFT = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
_DONE = "SELECT count(*) FROM jobs JOIN queues USING (queue) WHERE state = 6 AND type IN ({})"


def count_syncs(concurrency: int, types: tuple[str, ...]) -> Counter[str]:
    """Count syncs by file, from the submission of the hundred until all of them are published."""
    with Stage() as stage:
        trace = stage.folder / "trace.txt"
        worker = stage.start(
            *(
                "strace",
                "-f",
                "-I",
                "1",
                "-y",
                "-ttt",
                "-o",
                str(trace),
                "-e",
                "trace=fsync,fdatasync",
            ),
            *HMS_SVC,
            *("serve", "--no-http", "--types", ",".join(types)),
            *("--concurrency", str(concurrency)),
        )
        worker.wait_until("registered worker", lambda: _registered(stage))
        time.sleep(1.5)  # what a start writes is written
        began = time.time()
        stage.produce("bulk", REPORT, CASES)
        names = ", ".join(f"'{name}'" for name in types)
        wanted = CASES * len(types)
        worker.wait_until(
            "hundred published cases",
            lambda: (
                stage.query("queue.db", _DONE.format(names)) == [(wanted,)]
                and stage.query("cases.db", _LEFT) == [(0,)]
            ),
        )
        ended = time.time()
        worker.stop()
        cases = stage.query("cases.db", "SELECT count(*) FROM cases")
        assert cases == [(CASES,)], f"{cases} cases"
        return _between(trace, began, ended)


def run(plan: Plan) -> list[Figure]:
    """Count with a slot for each of the hundred, and with the default of 20."""
    if plan.engines != EMBEDDED:
        print("skipped: syncs are counted on the two files of SQLite", file=sys.stderr)
        return []
    if shutil.which("strace") is None:
        print("skipped: strace is not installed (apt-get install strace)", file=sys.stderr)
        return []
    found = interleaved(
        {
            "concurrency 100": partial(count_syncs, 100, (REPORT,)),
            "concurrency 20": partial(count_syncs, 20, (REPORT,)),
            "concurrency 100, with the notices": partial(count_syncs, 100, (REPORT, NOTICE)),
        },
        plan.rounds,
    )
    figures = []
    for name, counts in found.items():
        effects = tuple(float(each["cases.db"]) for each in counts)
        total = tuple(float(sum(each.values())) for each in counts)
        aims = ("", "") if "notices" in name else ("3; 10", "12; 40")
        figures.append(Figure(f"syncs of cases.db, {name}", "syncs", effects, aims[0]))
        figures.append(Figure(f"syncs in all, {name}", "syncs", total, aims[1]))
    return figures


def _registered(stage: Stage) -> bool:
    if not (stage.folder / "queue.db").exists() or not (stage.folder / "cases.db").exists():
        return False
    known = stage.query("queue.db", "SELECT count(*) FROM sqlite_master WHERE name = 'workers'")
    return known == [(1,)] and stage.query("queue.db", "SELECT count(*) FROM workers") == [(1,)]


def _between(trace: Path, began: float, ended: float) -> Counter[str]:
    counts: Counter[str] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        call = _CALL.match(line)
        if call and began <= float(call["at"]) <= ended:
            counts[Path(call["path"]).name.removesuffix("-wal")] += 1
    return counts
