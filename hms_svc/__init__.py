"""hms-svc: a job queue that validates, governs and durably runs jobs.

    from hms_svc import Job, Worker, dao, gov

Everything here is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hms_svc import aio
    from hms_svc.api import dao, gov, sql
    from hms_svc.api import job_access as jobs
    from hms_svc.api.batch_handle import BatchHandle
    from hms_svc.api.batches import Batch, chain
    from hms_svc.api.declared_type import DeclaredType
    from hms_svc.api.events import events
    from hms_svc.api.handle import Handle
    from hms_svc.api.jobs import Job
    from hms_svc.api.portal import close
    from hms_svc.api.registry import Registry
    from hms_svc.api.worker import Worker
    from hms_svc.domain.backoff import RetryPolicy
    from hms_svc.domain.errors import (
        ActionDenied,
        ActionHeld,
        BadFilter,
        BadInput,
        BadSetting,
        BatchClosed,
        BrokerReplaced,
        BrokerUnavailable,
        DatabaseReplaced,
        DatabaseUnavailable,
        DuplicateCase,
        EffectConflict,
        HandlerProcessDied,
        HmsError,
        IdConflict,
        JobCancelled,
        JobDead,
        JobFailed,
        JobNotEnded,
        JobRejected,
        LeaseLost,
        MalformedJob,
        MalformedJson,
        NoActiveJob,
        NotAnswered,
        Outage,
        PolicyUnavailable,
        Refused,
        RuleFailed,
        SchemaMismatch,
        TransactionError,
        UnknownId,
        ValidationFailed,
        WrongThread,
    )
    from hms_svc.domain.ids import follow_up_id
    from hms_svc.domain.job_limits import Concurrency, Rate
    from hms_svc.domain.outcome import Cancel, DeadLetter, RetryLater, Snooze
    from hms_svc.domain.uniqueness import Debounce, Unique
    from hms_svc.sdk.middleware import Run
    from hms_svc.sdk.running_job import RunningJob, current_job
    from hms_svc.sdk.transactions import BlockingTransaction, Transaction

    __version__: str

_HOMES: Final = {
    "Batch": "hms_svc.api.batches",
    "BatchHandle": "hms_svc.api.batch_handle",
    "chain": "hms_svc.api.batches",
    "DeclaredType": "hms_svc.api.declared_type",
    "Handle": "hms_svc.api.handle",
    "Job": "hms_svc.api.jobs",
    "Worker": "hms_svc.api.worker",
    "events": "hms_svc.api.events",
    "close": "hms_svc.api.portal",
    "Registry": "hms_svc.api.registry",
    "RetryPolicy": "hms_svc.domain.backoff",
    "Run": "hms_svc.sdk.middleware",
    "Concurrency": "hms_svc.domain.job_limits",
    "Rate": "hms_svc.domain.job_limits",
    "Debounce": "hms_svc.domain.uniqueness",
    "Unique": "hms_svc.domain.uniqueness",
    "RunningJob": "hms_svc.sdk.running_job",
    "current_job": "hms_svc.sdk.running_job",
    "follow_up_id": "hms_svc.domain.ids",
    "BlockingTransaction": "hms_svc.sdk.transactions",
    "Transaction": "hms_svc.sdk.transactions",
    **dict.fromkeys(
        (
            "ActionDenied",
            "ActionHeld",
            "BadFilter",
            "BadInput",
            "BadSetting",
            "BatchClosed",
            "BrokerReplaced",
            "BrokerUnavailable",
            "DatabaseReplaced",
            "DatabaseUnavailable",
            "DuplicateCase",
            "EffectConflict",
            "HandlerProcessDied",
            "HmsError",
            "IdConflict",
            "JobCancelled",
            "JobDead",
            "JobFailed",
            "JobNotEnded",
            "JobRejected",
            "LeaseLost",
            "MalformedJob",
            "MalformedJson",
            "NoActiveJob",
            "NotAnswered",
            "Outage",
            "PolicyUnavailable",
            "Refused",
            "RuleFailed",
            "SchemaMismatch",
            "TransactionError",
            "UnknownId",
            "ValidationFailed",
            "WrongThread",
        ),
        "hms_svc.domain.errors",
    ),
    **dict.fromkeys(("Cancel", "DeadLetter", "RetryLater", "Snooze"), "hms_svc.domain.outcome"),
}
_MODULES: Final = {
    "dao": "hms_svc.api.dao",
    "gov": "hms_svc.api.gov",
    "jobs": "hms_svc.api.job_access",
    "sql": "hms_svc.api.sql",
    "aio": "hms_svc.aio",
}

__all__ = [
    "ActionDenied",
    "ActionHeld",
    "BadFilter",
    "BadInput",
    "BadSetting",
    "Batch",
    "BatchClosed",
    "BatchHandle",
    "BlockingTransaction",
    "BrokerReplaced",
    "BrokerUnavailable",
    "Cancel",
    "Concurrency",
    "DatabaseReplaced",
    "DatabaseUnavailable",
    "DeadLetter",
    "Debounce",
    "DeclaredType",
    "DuplicateCase",
    "EffectConflict",
    "Handle",
    "HandlerProcessDied",
    "HmsError",
    "IdConflict",
    "Job",
    "JobCancelled",
    "JobDead",
    "JobFailed",
    "JobNotEnded",
    "JobRejected",
    "LeaseLost",
    "MalformedJob",
    "MalformedJson",
    "NoActiveJob",
    "NotAnswered",
    "Outage",
    "PolicyUnavailable",
    "Rate",
    "Refused",
    "Registry",
    "RetryLater",
    "RetryPolicy",
    "RuleFailed",
    "Run",
    "RunningJob",
    "SchemaMismatch",
    "Snooze",
    "Transaction",
    "TransactionError",
    "Unique",
    "UnknownId",
    "ValidationFailed",
    "Worker",
    "WrongThread",
    "__version__",
    "aio",
    "chain",
    "close",
    "current_job",
    "dao",
    "events",
    "follow_up_id",
    "gov",
    "jobs",
    "sql",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOMES:
        try:
            return getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            _refuse_client(name, error)
            raise
    if name == "__version__":
        from hms_svc.domain.version import version

        return version()
    raise AttributeError(f"module 'hms_svc' has no attribute {name!r}")


def _refuse_client(name: str, error: ModuleNotFoundError) -> None:
    """Raise a ModuleNotFoundError that names what to install, if only hms-svc-client is installed."""
    from hms_svc.domain.version import CLIENT, DISTRIBUTION, installed_distributions

    if set(installed_distributions()) == {CLIENT}:
        message = f"hms_svc.{name} is not part of {CLIENT}: pip install {DISTRIBUTION}"
        raise ModuleNotFoundError(message, name=error.name) from error
