"""The demo's own job types, beside the built-in ones: a recurring bug, and a quiet queue."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from hms_svc.demo.phases import STREETLIGHT_BUG
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import ValidationFailed
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob

STREETLIGHT: Final = "streetlight.report"
GRAFFITI: Final = "graffiti.report"
RETIRED_LAMPS: Final = "L-0"
app = Registry()


class StreetlightReport(BaseModel):
    """A lamp that is out. `city_began_ms` is when the demo began, in Unix milliseconds."""

    model_config = ConfigDict(defer_build=True, strict=True, frozen=True, extra="allow")

    user_id: str
    lamp: str = Field(pattern=r"^L-[0-9]{4}$")
    fault: Literal["dark", "flickers", "leans"] = "dark"
    city_began_ms: int = 0


class GraffitiReport(BaseModel):
    """A wall to be painted over."""

    model_config = ConfigDict(defer_build=True, strict=True, frozen=True, extra="allow")

    user_id: str
    wall: str = Field(min_length=1, max_length=200)
    square_metres: float = Field(default=1.0, gt=0, le=1000)


def lamp_exists(report: StreetlightReport) -> None:
    """Reject lamps that were taken down."""
    if report.lamp.startswith(RETIRED_LAMPS):
        raise ValidationFailed(f"lamp {report.lamp} was taken down")


@app.job(
    STREETLIGHT,
    payload=StreetlightReport,
    validators=(lamp_exists,),
    retry=RetryPolicy(max_attempts=3, base_seconds=0.5, cap_seconds=2.0),
)
async def dispatch_electrician(job: RunningJob[StreetlightReport]) -> dict[str, Any]:
    """Find the lamp's pole and circuit; in the bug's phase the record has no pole."""
    report = job.payload
    await asyncio.sleep(0.15)
    record: dict[str, Any] = {"lamp": report.lamp, "circuit": int(report.lamp[2:]) % 40}
    if not STREETLIGHT_BUG.holds(time.time() - report.city_began_ms / 1000):
        record["pole"] = report.lamp[2:]
    print(f"looking for the pole of {report.lamp}")
    pole: Any = record.get("pole")
    return {"pole": int(pole) // 3, "circuit": record["circuit"]}


@app.job(GRAFFITI, payload=GraffitiReport)
async def paint_over(job: RunningJob[GraffitiReport]) -> dict[str, Any]:
    """Paint, with a wait for each square metre."""
    report = job.payload
    await asyncio.sleep(min(2.0, report.square_metres / 10))
    return {"litres": round(report.square_metres * 0.15, 2)}
