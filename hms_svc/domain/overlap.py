"""Whether runs of a schedule may overlap."""

from __future__ import annotations

from typing import Literal, TypeAlias

Overlap: TypeAlias = Literal["allow", "skip"]
"""`skip`: a run does not begin while the run before has not ended."""
