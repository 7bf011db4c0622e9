"""Mutant: what ends plainly is not counted out of the state that it leaves."""

from __future__ import annotations

from tests.chaos.app import app
from tests.chaos.mutants.altered_script import alter

__all__ = ["app"]
alter("settle", "  write_size(type, PROCESSING, -number)\n", "")
