"""Mutant: a case is opened wherever one is asked for."""

from __future__ import annotations

from hms_svc.persistence.neighbours import Neighbourhood
from tests.chaos.app import app

__all__ = ["app"]
Neighbourhood.nearest = lambda self, query, cells: None  # type: ignore[method-assign]
