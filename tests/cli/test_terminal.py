"""With a terminal on standard error: bars go there, data stays on standard output."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.command_line import SAMPLES, make_cli
from tests.support.waiting import PATIENCE_SECONDS, wait_until

from .test_batches import submit

ROOT = Path(__file__).resolve().parents[2]


def test_the_progress_bar_leaves_standard_output_alone(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if "HMS_SVC" not in name}
    environment |= {"HMS_SVC_DATA_DIR": str(tmp_path), "HMS_SVC_CONFIG": "", "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-m", "hms_svc", "enqueue", "sample_jobs/pothole.json", "--json"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        timeout=60,
        check=True,
    )
    os.close(theirs)
    os.close(ours)
    assert json.loads(done.stdout)["state"] == "queued"


def test_the_data_files_are_their_owners_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if "HMS_SVC" not in name}
    environment |= {"HMS_SVC_DATA_DIR": str(tmp_path), "HMS_SVC_CONFIG": ""}
    command = [sys.executable, "-m", "hms_svc", "serve", "--drain", "--no-http"]
    subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=True)
    modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.glob("*.db")}
    assert modes == {"queue.db": 0, "cases.db": 0}


def on_a_terminal(folder: Path, actor: str, *arguments: str, answer: str = "") -> tuple[str, int]:
    """Run a command that may ask; return what it showed, and its exit code."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if "HMS_SVC" not in name}
    environment |= {
        "HMS_SVC_DATA_DIR": str(folder),
        "HMS_SVC_CONFIG": "",
        "TERM": "dumb",
        "HMS_SVC_ACTOR": actor,
        "COLUMNS": "200",
    }
    os.write(ours, f"{answer}\n".encode())
    process = subprocess.Popen(
        [sys.executable, "-m", "hms_svc", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while more := os.read(ours, 65536):
            shown += more
    except OSError:
        pass  # so a terminal ends where nobody has it open any more
    os.close(ours)
    return shown.decode(), process.wait(60)


def test_undo_asks_on_a_terminal_and_takes_the_name_for_anothers_act(tmp_path: Path) -> None:
    ann, bob = make_cli(tmp_path, "ann"), make_cli(tmp_path, "bob")
    cancel = ("jobs", "cancel", "--where", "state:queued", "--yes")

    def state() -> str:
        return str(ann("jobs", "list", "--json").row["state"])

    ann("enqueue", SAMPLES / "pothole.json")
    assert "cancelled: 1" in bob(*cancel, "--reason", "oops").out
    shown, _ = on_a_terminal(tmp_path, "ann", "jobs", "undo", answer="y")
    assert "bob cancelled job " in shown
    assert "note: oops" in shown
    assert "can be restored: 1" in shown
    assert "type bob to undo it" in shown
    assert "nothing was done" in shown
    assert state() == "cancelled"
    assert "undone: 1" in on_a_terminal(tmp_path, "ann", "jobs", "undo", answer="bob")[0]
    assert state() == "queued"
    ann(*cancel)
    shown, _ = on_a_terminal(tmp_path, "ann", "jobs", "undo", answer="n")
    assert "ann (you) cancelled job " in shown
    assert "nothing was done" in shown
    assert "undone: 1" in on_a_terminal(tmp_path, "ann", "jobs", "undo", answer="y")[0]
    ann(*cancel)
    shown, code = on_a_terminal(tmp_path, "bob", "jobs", "undo", "--yes", "--json")
    assert (json.loads(shown)["done"], code) == (1, 0)


def test_closing_a_batch_asks_on_a_terminal(tmp_path: Path) -> None:
    submit(tmp_path, is_left=True)
    close = ("batches", "close", "wards")
    shown, code = on_a_terminal(tmp_path, "ann", *close, answer="n")
    question = "close batch wards with 1 of its 2 members? This cannot be undone."
    assert question in shown
    assert "nothing was done" in shown
    assert code == 0
    shown, code = on_a_terminal(tmp_path, "ann", *close, answer="y")
    assert question in shown
    assert "batch wards is closed with 1 member; not accepted: 1" in shown
    assert code == 0
    shown, code = on_a_terminal(tmp_path, "ben", *close, answer="y")
    assert "close batch wards" not in shown
    assert "batch wards was closed already, by ann" in shown
    assert code == 6


@pytest.fixture(params=["pipe", "dumb terminal"])
def unpaintable(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Two ends, to read from and to write to, of an output on which a page cannot replace the one before it."""
    reading, writing = os.pipe() if request.param == "pipe" else pty.openpty()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_each_refresh_of_a_watched_status_is_shown_at_once(
    tmp_path: Path, unpaintable: tuple[int, int]
) -> None:
    reading, writing = unpaintable
    os.set_blocking(reading, False)
    environment = {name: value for name, value in os.environ.items() if "HMS_SVC" not in name}
    environment |= {"HMS_SVC_DATA_DIR": str(tmp_path), "HMS_SVC_CONFIG": "", "TERM": "dumb"}
    environment.pop("PYTHONUNBUFFERED", None)
    shown = b""

    def pages() -> int:
        nonlocal shown
        with suppress(BlockingIOError):
            shown += os.read(reading, 65536)
        return shown.count(b"broker sqlite ok")

    with subprocess.Popen(
        [sys.executable, "-m", "hms_svc", "status", "--watch", "--interval", "0.2"],
        cwd=ROOT,
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            wait_until(
                "two pages", lambda: pages() > 1 or process.poll() is not None, PATIENCE_SECONDS
            )
            assert process.poll() is None
        finally:
            process.kill()
