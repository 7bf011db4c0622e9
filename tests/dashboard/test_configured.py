"""What the configuration file gives the console: contexts, keys, notifications; on a real terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.dashboard.test_real_terminal import ROOT, RealConsole, words
from tui.notifying import sequence_of

FILE = """
data_dir = "{folder}/one"
profile = "first"
notify = "osc777"
[keys]
help = "H"
[contexts.two]
data_dir = "{folder}/two"
[contexts.away]
broker_url = "redis://127.0.0.1:1/0"
data_dir = "{folder}/away"
read_only = true
"""


@pytest.fixture
def consoles() -> Iterator[list[RealConsole]]:
    made: list[RealConsole] = []
    yield made
    for each in made:
        each.close()


def shows(one: RealConsole, text: str) -> bool:
    return text in words(one.seen)


def test_contexts_are_switched_keys_are_remapped_and_a_new_cause_is_notified_of(
    tmp_path: Path, consoles: list[RealConsole]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(FILE.format(folder=tmp_path))
    given = {"HMS_SVC_CONFIG": str(file), "HMS_SVC_DATA_DIR": "", "HMS_SVC_APP": ""}
    one = RealConsole(tmp_path, "--attach", **given)
    consoles.append(one)
    one.until("the first context", lambda: "first" in words(one.seen))
    one.until("it has looked", lambda: "s old" in words(one.seen))
    one.press("H", "Filter")
    one.press("q", "H help")
    one.press(":ctx away\r", "broker down")
    assert "read-only" in words(one.seen)
    one.press(":ctx nobody\r", "no context 'nobody'")
    one.press(":ctx two\r", "s old")
    one.press("4", "Held")
    one.press(":notify osc9\r", "notifications: osc9")
    one.until("a sample is sent", lambda: b"\x1b]9;hms-svc: notifications look" in one.seen)
    one.press("2", "Jobs")
    push = [sys.executable, "-m", "hms_svc", "--config", str(file), "--context", "two", "enqueue"]
    for type in ("a.job", "b.job"):
        subprocess.run(
            [*push, "--raw", "--type", type, "sample_jobs/malformed.txt"],
            cwd=ROOT, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        one.until(f"{type} is shown", partial(shows, one, type))
    one.until("the cause", lambda: b"\x1b]9;hms-svc: new cause: b.job" in one.seen)
    assert one.end() == 0


@pytest.mark.parametrize("way", ["bell", "osc9", "osc777"])
def test_no_text_ends_a_notification_or_begins_another_sequence(way: str) -> None:
    sent = sequence_of(way, "a\x07b\x1b]52;c;x\x1b\\\x9c;\n" + "x" * 500)
    inner = sent.removeprefix("\x1b]").removesuffix("\a")
    assert not any(ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 for sign in inner)
    assert inner.count(";") == {"bell": 0, "osc9": 1, "osc777": 3}[way]
    assert len(sent) < 250
