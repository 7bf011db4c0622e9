"""`hms-svc` without a command, where no console can be shown; and what a command does not take."""

from __future__ import annotations

from pathlib import Path

import pytest

from hms_svc.cli.console import NO_TERMINAL
from tests.support.command_line import Cli


def test_without_a_terminal_it_says_what_there_is_instead(cli: Cli) -> None:
    answer = cli(code=2)
    assert answer.err == f"hms-svc: {NO_TERMINAL}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--attach", "status"], "--attach is an option of the console"),
        (["--concurrency", "3", "serve"], "--concurrency is an option of the console"),
        (["--workers", "fibre"], "--workers 'fibre' is not one of thread, process"),
        (["--snapshot", "frame.svg", "--size", "big"], "--size 'big' is not a size such as 120x40"),
        (["--screen", "jbos"], "--screen 'jbos' is not one of overview, jobs, failures"),
        (["--screen", "cases", "--where", "state:dead"], "cases takes no filter"),
        (["--where", "state:gone"], "state"),
        (["--where", "state:dead", "status"], "--where is an option of the console"),
        (["--theme", "pink"], "one of dark, light, contrast, sixteen"),
    ],
)
def test_what_makes_no_sense_is_refused(cli: Cli, arguments: list[str], said: str) -> None:
    assert said in cli(*arguments, code=2).err


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--screen", "workers"], "No live workers"),
        (["--where", "state:queued"], "state:queued"),
        (["--screen", "audit"], "Audit"),
    ],
)
def test_any_screen_is_taken_as_a_picture(
    cli: Cli, tmp_path: Path, options: list[str], shown: str
) -> None:
    cli("status")
    path = tmp_path / "frame.svg"
    cli("--snapshot", path, *options)
    assert shown in path.read_text("utf-8").replace("&#160;", " ")


def test_no_live_worker_means_no_schedule(cli: Cli) -> None:
    assert cli("schedules", "list", "--json").out == ""
    for verb in ("run", "pause", "resume"):
        said = cli("schedules", verb, "a.b", code=2).err
        assert "no worker has declared a schedule for 'a.b'" in said
