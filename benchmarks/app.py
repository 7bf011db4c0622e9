"""The job types of the measurements, for workers started with HMS_SVC_APP."""

from __future__ import annotations

from benchmarks.probe import Probe
from hms_svc import DeadLetter, Registry, RunningJob
from hms_svc.domain.backoff import RetryPolicy

ANSWER = {"ok": True}
registry = Registry()
_probe = Probe.of_environment()


@registry.job("bench.async")
async def on_async(job: RunningJob) -> dict[str, bool]:
    """Do nothing, on the loop."""
    _probe.hit(job.data["n"], job.data.get("sent_ns", 0))
    return ANSWER


@registry.job("bench.plain")
def on_plain(job: RunningJob) -> dict[str, bool]:
    """Do nothing, on a thread."""
    _probe.hit(job.data["n"], job.data.get("sent_ns", 0))
    return ANSWER


@registry.job("bench.dead")
async def on_dead(job: RunningJob) -> DeadLetter:
    """Return the job up at once."""
    return DeadLetter("as asked")


@registry.job("bench.quiet")
async def on_quiet(job: RunningJob) -> None:
    """Do nothing, and count nothing."""


FAULTS = tuple(type(f"Fault{letter}", (Exception,), {}) for letter in "ABCDE")


@registry.job("bench.causes", retry=RetryPolicy(max_attempts=1))
async def on_cause(job: RunningJob) -> None:
    """Fail for one of five causes."""
    number = job.data["n"]
    raise FAULTS[number % len(FAULTS)](f"part {number} of order A-{number * 7} is missing")
