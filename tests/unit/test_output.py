"""Capturing what jobs print: blocks that overlap, as a console's workers and a rehearsal do."""

from __future__ import annotations

import sys

import pytest

from hms_svc.handling.output import captured_output


@pytest.mark.parametrize("first_ends", [True, False])
def test_blocks_may_end_in_any_order(capsys: pytest.CaptureFixture[str], first_ends: bool) -> None:
    before = sys.stdout, sys.stderr
    blocks = [captured_output(pass_on=False), captured_output(pass_on=False)]
    for block in blocks:
        block.__enter__()
    last = sys.stdout
    ending = blocks if first_ends else blocks[::-1]
    ending[0].__exit__(None, None, None)
    assert (sys.stdout is last) is first_ends
    print("outside of jobs")
    ending[1].__exit__(None, None, None)
    assert (sys.stdout, sys.stderr) == before
    print("afterwards")
    assert capsys.readouterr().out == "outside of jobs\nafterwards\n"
