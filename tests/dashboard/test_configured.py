"""Settings of the console in the configuration file: contexts, keys and notifications, on a real terminal."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import FailureGroup
from hms_svc.tui.notifications import Notifier, sequence_of
from hms_svc.tui.snapshot import Snapshot
from tests.dashboard.test_real_terminal import ROOT, RealConsole, plain_text

if TYPE_CHECKING:
    from hms_svc.tui.app import Console

FILE = """
data_dir = "{folder}/one"
profile = "first"
notify = "osc777"
[keys]
help = "M"
[contexts.two]
data_dir = "{folder}/two"
[contexts.away]
broker_url = "redis://127.0.0.1:1/0"
data_dir = "{folder}/away"
read_only = true
[contexts.newer]
data_dir = "{folder}/newer"
"""


@pytest.fixture
def consoles() -> Iterator[list[RealConsole]]:
    made: list[RealConsole] = []
    yield made
    for each in made:
        each.close()


def shows(driver: RealConsole, text: str) -> bool:
    return text in plain_text(driver.seen)


def test_contexts_switch_keys_are_remapped_and_a_new_cause_is_notified(
    tmp_path: Path, consoles: list[RealConsole]
) -> None:
    for name in ("newer", "away"):
        (tmp_path / name).mkdir()
    file = tmp_path / "config.toml"
    file.write_text(FILE.format(folder=tmp_path))
    given = {"HMS_SVC_CONFIG": str(file), "HMS_SVC_DATA_DIR": "", "HMS_SVC_APP": ""}
    driver = RealConsole(tmp_path, "--attach", **given)
    consoles.append(driver)
    driver.until("the first context", lambda: "first" in plain_text(driver.seen))
    driver.until("it has a snapshot", lambda: "s old" in plain_text(driver.seen))
    driver.press("M", "Filter")
    driver.press("q", "M help")
    driver.press(":ctx away\r", "broker down")
    assert "read-only" in plain_text(driver.seen)
    driver.press(":ctx nobody\r", "no context 'nobody'")
    with sqlite3.connect(tmp_path / "newer/queue.db") as newer:
        newer.executescript(
            "CREATE TABLE meta (name, value); INSERT INTO meta VALUES ('schema', 99)"
        )
    newer.close()
    driver.press(":ctx newer\r", "context newer: the queue file has schema 99")
    driver.until("the previous context", lambda: "read-only" in plain_text(driver.seen[-4_000:]))
    (tmp_path / "away/filters.json").write_bytes(b'{"a": "\xff"}')
    driver.press(":filters\r", "filters.json cannot be read")
    driver.press(":ctx two\r", "s old")
    driver.press("4", "Held")
    driver.press(":notify osc9\r", "notifications: osc9")
    driver.until("a sample is sent", lambda: b"\x1b]9;hms-svc: notifications look" in driver.seen)
    driver.press("2", "Jobs")
    push = [sys.executable, "-m", "hms_svc", "--config", str(file), "--context", "two", "enqueue"]
    for type in ("a.job", "b.job"):
        subprocess.run(
            [*push, "--raw", "--type", type, "sample_jobs/malformed.txt"],
            cwd=ROOT,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        driver.until(f"{type} is shown", partial(shows, driver, type))
    driver.until("the cause", lambda: b"\x1b]9;hms-svc: new cause: b.job" in driver.seen)
    assert driver.end() == 0


def test_a_cause_that_comes_back_within_the_hour_is_not_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(Notifier, "_send", lambda self, text: sent.append(text))
    monkeypatch.setattr("hms_svc.tui.notifications.MIN_SECONDS", 0.0)
    store = SimpleNamespace(always_failures=False)
    console = cast("Console", SimpleNamespace(store=store, now_ms=lambda: 0))
    notifier = Notifier(console, "osc9")
    group = FailureGroup(
        id="0123456789ab",
        state=State.RETRYING,
        type="a.job",
        reason="timeout",
        by="",
        error="E",
        pattern="too slow",
        count=1,
        first_at=0,
        last_at=0,
        newest_detail="",
        newest_id="j",
        recent=(0,) * 12,
        next_at=1,
    )
    for minute in range(1, 39):
        found = (group,) if minute % 3 == 0 else ()
        notifier.take(Snapshot(at=minute * 60_000, failures=found, causes_at=minute * 60_000))
    assert len(sent) == 1
    notifier.take(Snapshot(at=200 * 60_000, failures=(group,), causes_at=200 * 60_000))
    assert len(sent) == 2


@pytest.mark.parametrize("way", ["bell", "osc9", "osc777"])
def test_no_text_can_end_a_notification_or_start_another_sequence(way: str) -> None:
    sent = sequence_of(way, "a\x07b\x1b]52;c;x\x1b\\\x9c;\n" + "x" * 500)
    inner = sent.removeprefix("\x1b]").removesuffix("\a")
    assert not any(ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 for sign in inner)
    assert inner.count(";") == {"bell": 0, "osc9": 1, "osc777": 3}[way]
    assert len(sent) < 250
