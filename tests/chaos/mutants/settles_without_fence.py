"""Mutant: settle looks neither at the fence nor at the state."""

from __future__ import annotations

import re

from hms_svc.brokers.sqlite.transaction import SQL
from tests.chaos.mutants.altered_script import alter
from tests.chaos.mutants.deaf import app

__all__ = ["app"]
SQL["settle"], found = re.subn(r"fence = (\S+) AND jobs.state = 4", r"\1 > 0", SQL["settle"])
assert found == 1, "settle is written otherwise now: mutate it anew"
alter(
    "settle",
    "if owner ~= fence or state ~= PROCESSING then",
    "if not owner then",
)
