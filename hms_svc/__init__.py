"""hms-svc: queued requests become validated, persisted reality.

    from hms_svc import Job, Worker, dao, gov

Everything here loads when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hms_svc import aio
    from hms_svc.domain.errors import (
        ActionDenied,
        ActionHeld,
        DuplicateCase,
        EffectConflict,
        HmsError,
        IdConflict,
        LeaseLost,
        ValidationFailed,
    )
    from hms_svc.domain.outcome import Cancel, DeadLetter, RetryLater, Snooze
    from hms_svc.facade import dao, gov
    from hms_svc.facade.events import events
    from hms_svc.facade.jobs import Job
    from hms_svc.facade.portal import close
    from hms_svc.facade.worker import Worker
    from hms_svc.handling.context import RunningJob, current_job
    from hms_svc.handling.registry import Registry

    __version__: str

_HOMES: Final = {
    "Job": "hms_svc.facade.jobs",
    "Worker": "hms_svc.facade.worker",
    "events": "hms_svc.facade.events",
    "close": "hms_svc.facade.portal",
    "Registry": "hms_svc.handling.registry",
    "RunningJob": "hms_svc.handling.context",
    "current_job": "hms_svc.handling.context",
    **dict.fromkeys(
        (
            "ActionDenied", "ActionHeld", "DuplicateCase", "EffectConflict", "HmsError",
            "IdConflict", "LeaseLost", "ValidationFailed",
        ),
        "hms_svc.domain.errors",
    ),
    **dict.fromkeys(("Cancel", "DeadLetter", "RetryLater", "Snooze"), "hms_svc.domain.outcome"),
}  # fmt: skip
_MODULES: Final = {
    "dao": "hms_svc.facade.dao",
    "gov": "hms_svc.facade.gov",
    "aio": "hms_svc.aio",
}

__all__ = [
    "ActionDenied",
    "ActionHeld",
    "Cancel",
    "DeadLetter",
    "DuplicateCase",
    "EffectConflict",
    "HmsError",
    "IdConflict",
    "Job",
    "LeaseLost",
    "Registry",
    "RetryLater",
    "RunningJob",
    "Snooze",
    "ValidationFailed",
    "Worker",
    "__version__",
    "aio",
    "close",
    "current_job",
    "dao",
    "events",
    "gov",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "__version__":
        from hms_svc.domain.version import version

        return version()
    raise AttributeError(f"module 'hms_svc' has no attribute {name!r}")
