"""What `serve` checks before anything starts, and the address that it logs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.command_line import environment
from tests.support.serve_process import Served
from tests.support.waiting import PATIENCE_SECONDS

ANY_PORT = ("--http", "127.0.0.1:0")
LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)\n")


def start(tmp_path: Path, *arguments: str) -> Served:
    log = tmp_path / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "hms_svc", "serve", *arguments],
            env=os.environ | environment(tmp_path / "data"),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return Served(process, log)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ("nothing.*", "no type matches 'nothing.*'; the types are: analysis.run, "),
        ("crew.notfound", "no handler for type 'crew.notfound'; the types are: analysis.run, "),
        ("!*", "!* leaves no type to serve"),
    ],
)
def test_types_that_leave_nothing_to_serve_end_it_before_anything_starts(
    tmp_path: Path, types: str, message: str
) -> None:
    served = start(tmp_path, "--types", types, *ANY_PORT)
    try:
        assert served.wait(PATIENCE_SECONDS) == 2
    finally:
        served.kill()
    [line] = served.log.read_text().splitlines()
    assert line.startswith(f"hms-svc: {message}")
    assert not (tmp_path / "data").exists()


def test_the_port_that_was_bound_is_logged(tmp_path: Path) -> None:
    served = start(tmp_path, *ANY_PORT)
    try:
        served.wait_until("it listens", lambda: LISTENING.search(served.log.read_text()))
        found = LISTENING.search(served.log.read_text())
        assert found is not None
        with urlopen(f"http://127.0.0.1:{found[1]}/healthz", timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 200
    finally:
        served.kill()
