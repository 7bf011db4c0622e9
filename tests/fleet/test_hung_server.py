"""Commands against a Redis that neither answers nor refuses: each says so, and ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hms_svc.ports import answer_timeout
from hms_svc.ports.answer_timeout import MOST_SECONDS
from tests.support.command_line import Cli, make_cli
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisMaker, RedisServer


@pytest.fixture
def hung(make_redis: RedisMaker, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A server that was stopped; commands wait for it a tenth as long."""
    monkeypatch.setattr(answer_timeout, "ASK_AFTER_SECONDS", 0.15)
    monkeypatch.setattr(answer_timeout, "PROBE_SECONDS", 0.1)
    server = make_redis()
    os.kill(server.pid, signal.SIGSTOP)
    yield server
    os.kill(server.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status"], 5),
        (["doctor"], 1),
        (["workers", "list"], 5),
        (["jobs", "list"], 5),
        (["queues", "pause", "drill.run"], 5),
        (["enqueue", "--type", "drill.run", "-"], 5),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_a_command_tells_that_the_server_says_nothing(
    hung: RedisServer, tmp_path: Path, words: list[str], code: int
) -> None:
    cli: Cli = make_cli(tmp_path)
    answer = cli("--broker-url", hung.url(), *words, stdin='{"data": {}}', code=code)
    assert f"{hung.port}/0: no answer in {MOST_SECONDS:g} s" in answer.out + answer.err


def test_a_server_that_is_only_slow_is_waited_for(
    make_redis: RedisMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_timeout, "ASK_AFTER_SECONDS", 0.15)
    monkeypatch.setattr(answer_timeout, "PROBE_SECONDS", 0.3)
    server = make_redis(password="secret")
    with Proxy(server.port) as proxy:
        proxy.delay(140)  # a connection takes five of these, an answer on a new one two
        url = server.url().replace(str(server.port), str(proxy.port))
        answer = make_cli(tmp_path)("--broker-url", url, "status", "--json")
    assert '"ok":true' in answer.out.replace(" ", "")
