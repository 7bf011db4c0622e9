"""The machine that figures belong to."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.engines import EMBEDDED, Engines
from benchmarks.stage import DATA
from hms_svc.sqlite.filesystem import filesystem_type


def describe(engines: Engines = EMBEDDED) -> str:
    """Describe cores, Python, servers, file system, and what a disk sync of one page costs."""
    DATA.mkdir(mode=0o700, exist_ok=True)
    kind = filesystem_type(DATA)
    if kind in {"tmpfs", "ramfs"}:
        raise SystemExit(f"{DATA} is on {kind}, where a sync costs nothing: use a checkout on disk")
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores of {_processor()}, load {load:.1f} before; "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {_redis(engines)}"
        f"{platform.system()} {platform.release()}; "
        f"data on {kind}, fdatasync of one page {_sync_ms():.2f} ms (median of 200)"
    )


def _redis(engines: Engines) -> str:
    if not engines.redis:
        return ""
    shown = subprocess.run(["redis-server", "--version"], capture_output=True, check=True).stdout
    version = re.search(rb"v=(\S+)", shown)
    return f"Redis {version[1].decode()} on loopback, " if version else ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _sync_ms() -> float:
    taken = []
    page = os.urandom(4096)
    with tempfile.TemporaryFile(dir=DATA) as file:
        for _ in range(200):
            os.write(file.fileno(), page)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    return median(taken)
