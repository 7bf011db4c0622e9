"""`hms-svc` without a command, where no console can be shown; and what a command does not take."""

from __future__ import annotations

import pytest

from hms_svc.cli.console import NO_TERMINAL
from tests.cli.conftest import Cli


def test_without_a_terminal_it_says_what_there_is_instead(cli: Cli) -> None:
    answer = cli(code=2)
    assert answer.err == f"hms-svc: {NO_TERMINAL}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--attach", "status"], "--attach is the console's"),
        (["--concurrency", "3", "serve"], "--concurrency is the console's"),
        (["--workers", "fibre"], "--workers 'fibre' is none of thread, process"),
        (["--snapshot", "frame.svg", "--size", "big"], "--size 'big' is not a size such as 120x40"),
        (["--theme", "pink"], "one of dark, light, contrast, sixteen"),
    ],
)
def test_what_makes_no_sense_is_refused(cli: Cli, arguments: list[str], said: str) -> None:
    assert said in cli(*arguments, code=2).err


def test_no_live_worker_means_no_schedule(cli: Cli) -> None:
    assert cli("schedules", "list", "--json").out == ""
    assert "no live worker has a schedule for 'a.b'" in cli("schedules", "run", "a.b", code=2).err
