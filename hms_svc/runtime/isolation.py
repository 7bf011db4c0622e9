"""Handlers that run in a process of their own: the interface, which `processes` implements."""

from __future__ import annotations

from typing import Final, Protocol

from hms_svc.domain.outcome import Disposition
from hms_svc.sdk.running_job import RunningJob


class Isolation(Protocol):
    """Runs the jobs of isolated types, each in a process that runs nothing else meanwhile."""

    async def run(self, job: RunningJob) -> Disposition:
        """Run a job from its validation on, and return what becomes of it.

        If this is cancelled, the process is killed. Then, and if it dies, the job's `effects` are
        those that it has committed, or `uncertain` is why they are not known: it can commit nothing
        more. Raises HandlerProcessDied if the process died, and CancelledError.
        """
        ...


class _NoIsolation:
    async def run(self, job: RunningJob) -> Disposition:
        raise NotImplementedError


NO_ISOLATION: Final[Isolation] = _NoIsolation()
"""In the process of an isolated handler: it runs there."""
