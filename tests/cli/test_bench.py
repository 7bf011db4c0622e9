"""`hms-svc bench`: it measures on the engines of an installation, whose data it leaves as they were."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import pytest

from hms_svc.bench.limits import limits_of
from hms_svc.bench.processes import family
from hms_svc.bench.scratch import STALE_SECONDS, scratch
from hms_svc.brokers.redis.scratch import OWNER_KEY
from hms_svc.operations.answers.bench import BenchAnswer, BenchDrain
from hms_svc.settings import load_settings
from tests.support.command_line import SAMPLES, Cli, environment, make_cli
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import free_port
from tests.support.redis_server import RedisMaker, RedisServer
from tests.support.waiting import PATIENCE_SECONDS, wait_until

STALE = int(time.time()) - STALE_SECONDS - 1
PUSHED = '{"id": "real-1", "type": "permit.issue", "data": {}}'


def check(found: dict[str, Any], *, broker: str, database: str) -> None:
    assert (found["broker"], found["database"]) == (broker, database)
    for name in (
        "broker_ms",
        "database_ms",
        "enqueue_per_second",
        "enqueue_bulk_per_second",
        "start_ms",
        "latency_p50_ms",
        "cores",
        "slots",
    ):
        assert found[name] > 0, name
    assert found["latency_p99_ms"] >= found["latency_p50_ms"]
    assert found["enqueue_bulk_per_second"] > found["enqueue_per_second"]
    for drain in (found["noop"], found["reports"]):
        assert drain["jobs"] > 0
        assert drain["jobs_per_second"] > 0
        assert drain["worker_cpu_us"] > 0
        assert (drain["broker_cpu_us"] is None) == (broker == "sqlite")
    assert [sentence.partition(":")[0] for sentence in found["limits"]][:2] == [
        "No-op jobs",
        "Reports",
    ]


def test_on_files_it_leaves_the_installation_as_it_was(tmp_path: Path) -> None:
    data = tmp_path / "data"
    cli = make_cli(data)
    cli("enqueue", SAMPLES / "pothole.json")
    (data / f"hms_svc_bench_{STALE}_abc123").mkdir()
    (data / "bench_2024_1").mkdir()  # not of a benchmark: it stays
    before = cli("status", "--json").row["totals"]
    found = cli("bench", "--seconds", 5, "--json").row
    check(found, broker="sqlite", database="sqlite")
    assert found["sync_ms"] > 0
    assert cli("status", "--json").row["totals"] == before
    assert not list(data.glob("hms_svc_bench_*"))
    assert (data / "bench_2024_1").is_dir()


def test_on_servers_it_uses_an_empty_database_and_a_schema_of_its_own(
    tmp_path: Path,
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    postgres_database: str,
) -> None:
    redis_server.cli("LPUSH", "jobs:permit.issue", PUSHED)
    redis_server.cli("SET", OWNER_KEY, f"{STALE} bench_1_abc", database=15)
    redis_server.cli("SET", "hms:bench_1_abc:types", "x", database=15)
    asyncio.run(
        postgres_server.execute(
            postgres_database,
            f"CREATE SCHEMA hms_svc_bench_{STALE}_abc123",
            "CREATE SCHEMA bench_2024_1",
        )
    )
    url = postgres_server.url(postgres_database)
    cli = make_cli(tmp_path / "data")
    found = cli(
        "--broker-url", redis_server.url(), "--database-url", url, "bench", "--seconds", 5, "--json"
    ).row
    check(found, broker="redis", database="postgresql")
    assert found["sync_ms"] is None
    assert redis_server.cli("LRANGE", "jobs:permit.issue", 0, -1) == [PUSHED.encode()]
    assert redis_server.keys() == ["jobs:permit.issue"]
    assert set(redis_server.info("keyspace")) == {"db0"}
    names = "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%bench%'"
    left = asyncio.run(postgres_server.fetch(postgres_database, names))
    assert left == [("bench_2024_1",)]
    asyncio.run(postgres_server.execute(postgres_database, "DROP SCHEMA bench_2024_1"))
    counted = asyncio.run(postgres_server.fetch(postgres_database, "SELECT count(*) FROM cases"))
    assert counted == [(0,)]


def test_for_people_it_says_what_limits_the_machine(cli: Cli) -> None:
    shown = cli("bench", "--seconds", 5)
    for word in ("round trip", "sync", "enqueue", "start", "latency", "no-op jobs", "reports"):
        assert word in shown.out
    assert "No-op jobs: " in shown.out
    assert "measuring drain of no-op jobs" in shown.err


def test_a_redis_without_an_empty_database_is_refused_by_name(
    tmp_path: Path, make_redis: RedisMaker
) -> None:
    server = make_redis()
    for number in range(16):
        server.cli("SET", "mine", "1", database=number)
    for command in (("bench",), ("demo", "--headless", "--seconds", 0.1)):
        refused = make_cli(tmp_path / "data")("--broker-url", server.url(), *command, code=2)
        assert "has no empty logical database" in refused.err
    assert server.info("keyspace") == {
        f"db{number}": {"keys": 1, "expires": 0, "avg_ttl": 0} for number in range(16)
    }


def test_a_redis_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    cli = make_cli(tmp_path / "data")
    for command in (("bench",), ("demo", "--headless", "--seconds", 0.1)):
        refused = cli("--broker-url", f"redis://127.0.0.1:{free_port()}/0", *command, code=5)
        assert "Error 111 connecting" in refused.err


def errors_of(running: subprocess.Popen[bytes]) -> IO[bytes]:
    assert running.stderr is not None
    return running.stderr


def start_bench(data: Path) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Start a benchmark, and return it and its workers once they work."""
    running = subprocess.Popen(
        [sys.executable, "-m", "hms_svc", "bench", "--seconds", "60"],
        env={**os.environ, **environment(data)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while b"latency" not in errors_of(running).readline():
        assert running.poll() is None
    return running, family(running.pid)[1:]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.interop)]
)
def test_a_signal_stops_its_worker_and_removes_its_data(
    tmp_path: Path, number: signal.Signals
) -> None:
    data = tmp_path / "data"
    running, workers = start_bench(data)
    assert workers
    running.send_signal(number)
    errors_of(running).close()
    assert running.wait(PATIENCE_SECONDS) == 130
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert not list(data.glob("hms_svc_bench_*"))


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended may wait for ever for who reaps it."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_its_worker_ends_when_it_is_killed(tmp_path: Path) -> None:
    running, workers = start_bench(tmp_path)
    assert len(workers) == 2
    running.kill()
    errors_of(running).close()
    running.wait(PATIENCE_SECONDS)
    wait_until("its worker has ended", lambda: not any(map(is_running, workers)))


def test_the_demo_takes_no_jobs_from_a_redis_in_use(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.cli("LPUSH", "jobs:permit.issue", PUSHED)
    cli = make_cli(tmp_path / "data")
    found = cli(
        "--broker-url", redis_server.url(), "demo", "--headless", "--seconds", 3, "--rate", 10
    ).row
    assert found["totals"]["completed"] > 0
    assert redis_server.keys() == ["jobs:permit.issue"]
    assert set(redis_server.info("keyspace")) == {"db0"}


def test_what_a_killed_run_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "hms_svc", "bench", "--seconds", "60"]
    killed = subprocess.Popen(
        command,
        env={**os.environ, **environment(data)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until("its files", lambda: list(data.glob("hms_svc_bench_*/queue.db")))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    [left] = data.glob("hms_svc_bench_*")
    settings = load_settings({"data_dir": data}, environ={"HMS_SVC_CONFIG": ""}).settings

    async def run() -> list[str]:
        async with scratch(settings):
            return sorted(found.name for found in data.glob("hms_svc_bench_*"))

    assert left.name in asyncio.run(run())  # it may be running still
    shutil.move(left, data / f"hms_svc_bench_{STALE}_{left.name[-6:]}")
    assert len(asyncio.run(run())) == 1
    assert not list(data.glob("hms_svc_bench_*"))


def answer(drain: BenchDrain, **changes: Any) -> BenchAnswer:
    figures: dict[str, Any] = {
        "broker": "redis",
        "database": "postgresql",
        "cores": 4,
        "slots": 20,
        "broker_ms": 0.1,
        "database_ms": 0.2,
        "sync_ms": None,
        "enqueue_per_second": 1.0,
        "enqueue_bulk_per_second": 1.0,
        "start_ms": 1.0,
        "latency_p50_ms": 1.0,
        "latency_p99_ms": 1.0,
        "load": 0.5,
    }
    return BenchAnswer(**{**figures, "noop": drain, "reports": drain, **changes})


def drain(worker: float | None, broker: float | None) -> BenchDrain:
    return BenchDrain(
        jobs=1000,
        jobs_per_second=100.0,
        worker_cpu_us=1.0,
        worker_share=worker,
        broker_cpu_us=1.0,
        broker_share=broker,
    )


@pytest.mark.parametrize(
    ("worker", "broker", "changes", "words"),
    [
        (
            0.97,
            0.3,
            {},
            "the worker process is the limit, it uses 97% of a core, while redis uses 30%",
        ),
        (0.97, 0.3, {"cores": 1}, "one core: a second process would not help"),
        (0.97, None, {"broker": "sqlite"}, "all share one file"),
        (0.6, 0.95, {}, "redis is the limit, it uses 95% of a core. More workers do not help"),
        (0.4, 0.3, {}, "waiting is the limit, not CPU: the worker uses 40% of a core, redis 30%"),
        (0.4, 0.3, {"database_ms": 9.0}, "9.0 ms to postgresql: more slots"),
        (0.4, None, {"broker": "sqlite", "sync_ms": 12.0}, "The disk takes 12.0 ms for a sync"),
        (0.4, 0.3, {"load": 9.0}, "other programs keep this machine busy (load 9.0 on 4 cores)"),
        (None, None, {}, "does not report CPU times"),
    ],
)
def test_the_limit_is_named(
    worker: float | None, broker: float | None, changes: dict[str, Any], words: str
) -> None:
    assert words in limits_of(answer(drain(worker, broker), **changes))[0]
