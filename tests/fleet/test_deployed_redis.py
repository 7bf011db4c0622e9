"""The Redis of deploy/container: what it does before it starts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import redis

from tests.support.redis_server import RedisMaker

SCRIPT: Final = Path(__file__).parents[2] / "deploy" / "container" / "start_redis.sh"


def test_a_half_written_transaction_is_removed_before_the_start(
    make_redis: RedisMaker, tmp_path: Path
) -> None:
    server = make_redis(appendonly="always")
    with redis.Redis.from_url(server.url()) as client, client.pipeline() as transaction:
        transaction.set("a", 1).set("b", 2).execute()
    server.kill()
    [log] = (server.folder / "appendonlydir").glob("*.incr.aof")
    written = log.read_bytes()
    os.truncate(log, written.index(b"EXEC") - 20)
    programs = tmp_path / "bin"
    programs.mkdir()
    entry = programs / "docker-entrypoint.sh"
    entry.write_text('#!/bin/sh\necho "$@"\n')
    entry.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", SCRIPT, "redis.conf", "--appendfsync", "always"],
        env={"PATH": path, "REDIS_FOLDER": str(server.folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "redis-server redis.conf --appendfsync always"
    assert log.read_bytes() == written[: written.index(b"*1\r\n$5\r\nMULTI")]
