"""Mutant: fences are only counted, so that after a flush they begin anew."""

from __future__ import annotations

from tests.chaos.app import app
from tests.chaos.mutants.altered_script import alter

__all__ = ["app"]
alter("claim", "sequence('fence', #popped / 2, wall * 1000)", "sequence('fence', #popped / 2, 1)")
