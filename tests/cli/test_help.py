"""The lists of commands that `--help` prints."""

from __future__ import annotations

import pytest

from hms_svc.cli.catalogue import GROUPS
from tests.support.command_line import Cli


@pytest.mark.parametrize("words", [(), *((name,) for name in GROUPS)], ids=" ".join)
def test_every_command_is_listed_with_a_whole_sentence(cli: Cli, words: tuple[str, ...]) -> None:
    shown = cli(*words, "--help").out
    listed = [line for line in shown.partition("\nCommands:\n")[2].splitlines() if line]
    assert listed
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []
