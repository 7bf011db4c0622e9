"""Mutant: what is settled is not counted out of the state that it leaves, unless it ends plainly."""

from __future__ import annotations

from tests.chaos.app import app
from tests.chaos.mutants.altered_script import alter

__all__ = ["app"]
alter(
    "settle",
    "leave(id, job)\n  job[STATE]",
    "push(gone, index_of(PROCESSING, job[TYPE]), id)\n  job[STATE]",
)
