"""Mutant: a case is opened wherever one is asked for."""

from __future__ import annotations

from hms_svc.persistence.nearby_cases import NearbyCases
from tests.chaos.app import app

__all__ = ["app"]
NearbyCases.nearest = lambda self, query, cells: None  # type: ignore[method-assign]  # a mutant replaces the method
