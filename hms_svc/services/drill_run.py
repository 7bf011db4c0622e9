"""`drill.run`: a drill for operators. The job ends as requested, to see what happens then."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import HmsError, ValidationFailed
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob

TYPE: Final = "drill.run"
ACTION: Final = "run_drill"
EXIT_CODE: Final = 70


class DrillRequest(BaseModel):
    """The requested end, after `seconds` of sleep. `message` is its text."""

    model_config = ConfigDict(defer_build=True, strict=True, frozen=True, extra="allow")

    act: Literal["succeed", "print", "fail", "reject", "exit"] = "succeed"
    seconds: float = Field(default=0.0, ge=0, le=3600, allow_inf_nan=False)
    message: str = Field(default="this is a drill", max_length=1000)


class DrillFailed(HmsError):
    """The error that a drill was requested to raise."""


async def drill(job: RunningJob[DrillRequest]) -> dict[str, Any]:
    """Sleep, then succeed, print, raise an error, reject it, or end the worker's process."""
    request = job.payload
    await asyncio.sleep(request.seconds)
    match request.act:
        case "print":
            print(request.message)
        case "fail":
            raise DrillFailed(request.message)
        case "reject":
            raise ValidationFailed(request.message)
        case "exit":
            os._exit(EXIT_CODE)
    return {"act": request.act, "attempt": job.attempt}


def declare(registry: Registry) -> None:
    """Add the type to a registry: with quick retries, and vetted, since a drill may end a worker."""
    registry.job(
        TYPE,
        payload=DrillRequest,
        action=ACTION,
        retry=RetryPolicy(base_seconds=0.1, cap_seconds=5.0),
    )(drill)
