"""`analysis.run`: a long job that reports progress, can be cancelled, and produces a document."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hms_svc.domain.outcome import Cancel
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob
from hms_svc.services.places import Place, Places, distance_to_segment_m

TYPE: Final = "analysis.run"
TIMEOUT_SECONDS: Final = 24 * 3600.0


class AnalysisRequest(BaseModel):
    """The input: `values`, or the distances of the city's places from their centre, in metres.

    The work is cut into `steps`; each takes `seconds_per_step` longer than it needs.
    """

    model_config = ConfigDict(defer_build=True, strict=True, frozen=True, extra="allow")

    dataset: Literal["places", "numbers"] = "places"
    values: list[Annotated[float, Field(ge=-1e15, le=1e15)]] = Field(default=[], max_length=10_000)
    steps: int = Field(default=10, ge=1, le=1000)
    seconds_per_step: float = Field(default=0.0, ge=0, le=60, allow_inf_nan=False)

    @model_validator(mode="after")
    def numbers_have_values(self) -> AnalysisRequest:
        """Reject an analysis of numbers without values."""
        if self.dataset == "numbers" and not self.values:
            raise ValueError("dataset numbers needs values")
        return self


class AnalysisService:
    """Computes summary statistics, a part of the data per step."""

    def __init__(self, places: Places) -> None:
        self._places = places

    async def analyse(self, job: RunningJob[AnalysisRequest]) -> dict[str, Any] | Cancel:
        """Return the document, or cancel the job if that was requested."""
        request = job.payload
        given = request.values
        if request.dataset == "places":
            given = _distances_m(self._places.load().places)
        read: list[float] = []
        for step in range(1, request.steps + 1):
            if job.cancel_requested:
                return Cancel(f"stopped after {step - 1} of {request.steps} steps")
            await asyncio.sleep(request.seconds_per_step)
            read += given[len(read) : len(given) * step // request.steps]
            job.progress(step / request.steps, f"step {step} of {request.steps}")
        return {"dataset": request.dataset, "steps": request.steps, **summarise(read)}


def declare(registry: Registry, *, places: Places) -> None:
    """Add the type to a registry."""
    registry.job(TYPE, payload=AnalysisRequest, timeout_seconds=TIMEOUT_SECONDS)(
        AnalysisService(places).analyse
    )


def summarise(values: Sequence[float]) -> dict[str, Any]:
    """Return count, mean, standard deviation, extremes and quartiles of the values."""
    import statistics

    if not values:
        return {"count": 0}
    ordered = sorted(values)
    quartiles = (
        statistics.quantiles(ordered, method="inclusive") if len(ordered) > 1 else ordered * 3
    )
    return {
        "count": len(ordered),
        "mean": statistics.fmean(ordered),
        "standard_deviation": statistics.pstdev(ordered),
        "minimum": ordered[0],
        "quartiles": quartiles,
        "maximum": ordered[-1],
    }


def _distances_m(places: Sequence[Place]) -> list[float]:
    points = [next(place.ways)[0] for place in places]
    if not points:
        return []
    count = len(points)
    middle = (sum(lat for lat, _ in points) / count, sum(lon for _, lon in points) / count)
    return [distance_to_segment_m(middle, point, point) for point in points]
