"""The test kit for applications: a bench runs their jobs within a test, on real engines.

    from hms_svc.testing import Bench

Everything here is imported on first use, because pytest loads the plugin of this package in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hms_svc.testing.bench import Bench
    from hms_svc.testing.records import (
        CaseRecord,
        EnqueuedJob,
        EventRecord,
        JobRecord,
        Outcome,
    )

_HOMES: Final = {
    "Bench": "hms_svc.testing.bench",
    **dict.fromkeys(
        ("CaseRecord", "EnqueuedJob", "EventRecord", "JobRecord", "Outcome"),
        "hms_svc.testing.records",
    ),
}

__all__ = ["Bench", "CaseRecord", "EnqueuedJob", "EventRecord", "JobRecord", "Outcome"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hms_svc.testing' has no attribute {name!r}")
