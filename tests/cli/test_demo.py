"""The demo's city: lively at once, the same for the same seed, and nowhere but in its folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hms_svc.demo.city import City
from hms_svc.demo.phases import STREETLIGHT_BUG, Phase
from hms_svc.demo.services import StreetlightReport, dispatch_electrician
from tests.support.command_line import environment, make_cli
from tests.support.redis_server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS, wait_until


def test_a_headless_city_has_something_of_everything(tmp_path: Path) -> None:
    mine, kept = tmp_path / "mine", tmp_path / "kept"
    status = make_cli(mine)("demo", "--headless", "--seconds", 3, "--rate", 10, "--keep", kept).row
    totals = status["totals"]
    assert not [state for state in ("completed", "rejected", "held", "dead") if not totals[state]]
    queues = {queue["type"]: queue for queue in status["queues"]}
    assert queues["graffiti.report"]["paused"]
    assert queues["graffiti.report"]["queued"]
    assert status["workers"] == []
    assert (kept / "queue.db").exists()
    assert not mine.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_and_leaves_nothing(
    tmp_path: Path, redis_server: RedisServer, number: signal.Signals
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    command = ["-m", "hms_svc", "--broker-url", redis_server.url(), "demo", "--headless"]
    # SIGINT is ignored in what a script starts in the background, and the other signals end it there, too.
    at_start = signal.default_int_handler if number is signal.SIGINT else signal.SIG_IGN
    before = signal.signal(signal.SIGINT, at_start)
    try:
        running = subprocess.Popen(
            [sys.executable, *command, "--seconds", "600", "--rate", "50"],
            env={**os.environ, **environment(tmp_path / "mine"), "TMPDIR": str(folder)},
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    wait_until("the city works", lambda: len(redis_server.keys("*:job:*", database=15)) > 50)
    running.send_signal(number)
    assert running.wait(PATIENCE_SECONDS) == 130
    assert redis_server.info("keyspace") == {}
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("seed", "same"), [(7, True), (8, False)])
def test_the_seed_makes_the_city(seed: int, same: bool) -> None:
    first, second = (City([(38.9, -77.0)], seed=each, rate=3.0, began_ms=0) for each in (7, seed))
    deeds = [city.opening() + [city.next()[1] for _ in range(50)] for city in (first, second)]
    assert (deeds[0] == deeds[1]) is same


async def test_the_same_report_fails_while_the_bug_is_in_and_succeeds_once_it_is_mended() -> None:
    def report(city_age_seconds: float) -> Any:
        began_ms = int((time.time() - city_age_seconds) * 1000)
        payload = StreetlightReport(user_id="usr-1", lamp="L-0900", city_began_ms=began_ms)
        return SimpleNamespace(payload=payload)

    with pytest.raises(TypeError, match="NoneType"):
        await dispatch_electrician(report(STREETLIGHT_BUG.begins + 10))
    assert (await dispatch_electrician(report(STREETLIGHT_BUG.ends + 10)))["pole"] == 300


def test_a_phase_comes_again_in_every_period() -> None:
    phase = Phase(begins=10, ends=20, period=60)
    held = [second for second in range(120) if phase.holds(second)]
    assert held == [*range(10, 20), *range(70, 80)]
