"""Mutant: effects are accepted from whoever once had the job."""

from __future__ import annotations

from hms_svc.persistence import effects
from tests.chaos.mutants.deaf import app

__all__ = ["app"]
assert callable(effects._Group._has_lost)
effects._Group._has_lost = lambda self, request: False  # type: ignore[method-assign]  # a mutant replaces the method
