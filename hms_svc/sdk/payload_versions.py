"""Versions of a payload's form: data of an older version is upgraded step by step, whenever a job needs it."""

from __future__ import annotations

from typing import Any

from hms_svc.domain.job import FIRST_VERSION, Job
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.payload import PayloadFault
from hms_svc.sdk.source_places import name_of
from hms_svc.sdk.storable_text import writable


class UpgradeFault(PayloadFault):
    """A function that upgrades payloads raised, or returned None; its cause is what it raised.

    `function` is its name.
    """

    def __init__(self, message: str, function: str) -> None:
        super().__init__(message, "data")
        self.function = function


def version_of(job: Job) -> int:
    """Return the version of an accepted job's payload."""
    return FIRST_VERSION if job.version is None else job.version


def is_newer(job: Job, declared: JobType) -> bool:
    """Return whether the payload has a form that the declaration does not know."""
    return job.version is not None and job.version > declared.version


def current_data(job: Job, declared: JobType) -> Any:
    """Return a job's data in the form of the declared version; the job itself keeps its own.

    Raises UpgradeFault.
    """
    data: Any = job.payload()
    for version in range(version_of(job), declared.version):
        data = _upgraded(declared, version, data)
    return data


def _upgraded(declared: JobType, version: int, data: Any) -> Any:
    function = declared.upgrade[version]
    what = f"upgrade of the payload from version {version} to {version + 1} by {name_of(function)}"
    name = getattr(function, "__name__", type(function).__name__)
    try:
        found = function(data)
    except Exception as error:
        raised = f"raised {type(error).__name__}: {writable(error)[:200]}"
        raise UpgradeFault(f"data: {what} {raised}", name) from error
    if found is None:
        raise UpgradeFault(f"data: {what} returned nothing: it must return the new data", name)
    return found
