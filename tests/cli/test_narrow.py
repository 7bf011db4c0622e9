"""Tables on terminals of several widths: a line a row, ids whole, and nothing folded."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hms_svc.cli.columns import TableColumn, fit
from tests.support.command_line import ROOT, Cli, drain, environment, make_cli

pytestmark = pytest.mark.interop
REPORT = (
    '{{"id":"{id}","type":"pothole.report","data":{{"user_id":"usr-1","lat":38.9,"lon":-77.0}}}}'
)
IDS = [f"01934567-89ab-7cde-8f01-23456789abc{number}" for number in range(3)]
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
COLUMNS = [
    TableColumn("id", 36, is_prose=False),
    TableColumn("type", 14, is_prose=False),
    TableColumn("detail", 90, is_prose=True),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a few jobs and a case."""
    found = tmp_path_factory.mktemp("narrow")
    cli: Cli = make_cli(found)
    cli("enqueue", "-", stdin="\n".join(REPORT.format(id=each) for each in IDS))
    drain(found)
    return found


def on_terminal(folder: Path, width: int, *arguments: str) -> list[str]:
    """Run a command whose standard output is a terminal; give the lines that it shows."""
    ours, theirs = pty.openpty()
    shown = (
        os.environ | environment(folder) | {"COLUMNS": str(width), "TERM": "xterm", "NO_COLOR": "1"}
    )
    with subprocess.Popen(
        [sys.executable, "-m", "hms_svc", *arguments], cwd=ROOT, env=shown, stdout=theirs
    ) as child:
        os.close(theirs)
        out = b""
        try:
            while piece := os.read(ours, 65536):
                out += piece
        except OSError:  # how Linux tells that the other end is closed
            pass
    os.close(ours)
    assert child.returncode == 0
    return _STYLE.sub("", out.decode()).splitlines()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_jobs_take_a_line_each_and_keep_their_ids(folder: Path, width: int) -> None:
    lines = on_terminal(folder, width, "jobs", "list")
    rows = [line for line in lines if line.strip()]
    rows = rows[: next((n for n, row in enumerate(rows) if "too narrow" in row), len(rows))]
    assert max(map(len, rows)) <= width
    assert {word for line in rows for word in line.split()} >= set(IDS)
    ids = [row.split()[0] for row in rows[2:]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("command", [("cases", "list"), ("status",), ("queues", "list")])
def test_no_heading_or_word_is_folded(folder: Path, width: int, command: tuple[str, ...]) -> None:
    lines = [line.strip() for line in on_terminal(folder, width, *command) if line.strip()]
    assert max(map(len, lines)) <= width
    headings = {"cases": "kind", "status": "queued", "queues": "queued"}[command[0]]
    assert any(headings in line for line in lines)


def test_without_a_terminal_nothing_is_cut_or_folded(folder: Path, tmp_path: Path) -> None:
    """Prose wider than any screen, such as the detail of a job, takes no room from the id."""
    cli = make_cli(tmp_path)
    detail = "a reason of many words " * 12
    cli("enqueue", "-", stdin=REPORT.format(id=IDS[0]))
    cli("jobs", "cancel", IDS[0], "--reason", detail.strip())
    [row] = [line for line in cli("jobs", "list").out.splitlines() if IDS[0] in line]
    assert detail.strip() in row


def test_columns_leave_in_their_order_and_prose_takes_what_is_left() -> None:
    assert fit(COLUMNS, 200, ()) == {0: 36, 1: 14, 2: 90}
    assert fit(COLUMNS, 80, ()) == {0: 36, 1: 14, 2: 20}
    assert fit(COLUMNS, 75, ()) == {0: 36, 1: 14}
    assert fit(COLUMNS, 75, ("type",)) == {0: 36, 2: 32}
    assert fit(COLUMNS, 20, ("type",)) == {0: 36}
