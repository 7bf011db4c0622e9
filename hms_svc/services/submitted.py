"""The types that producers submit, for validation alone, without Pydantic: loading it takes longer than all else.

Data that fits the fields here also fits the payload model of its type. All other data is left to
the model, which is loaded then, and says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import Meta

from hms_svc.sdk.job_type import JobType, PayloadModel
from hms_svc.sdk.registry import Registry

Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Reason = Annotated[str, Meta(max_length=1000)]
Value = Annotated[float, Meta(ge=-1e15, le=1e15)]


class ReportFields(msgspec.Struct):
    """Fields of `pothole.report`."""

    user_id: str
    lat: Latitude
    lon: Longitude
    photo: Annotated[str, Meta(max_length=2048)] | None = None
    description: Annotated[str, Meta(max_length=4000)] | None = None


class NoticeFields(msgspec.Struct):
    """Fields of `crew.notify`."""

    case_id: Annotated[str, Meta(min_length=1, max_length=128)]
    kind: Annotated[str, Meta(max_length=128)] = "pothole"
    lat: Latitude | None = None
    lon: Longitude | None = None
    urgency: Annotated[int, Meta(ge=0, le=100)] | None = None
    reasons: Annotated[list[Reason], Meta(max_length=100)] = msgspec.field(default_factory=list)


class AnalysisFields(msgspec.Struct):
    """Fields of `analysis.run` with its usual `dataset`."""

    dataset: Literal["places"] = "places"
    values: Annotated[list[Value], Meta(max_length=10_000)] = msgspec.field(default_factory=list)
    steps: Annotated[int, Meta(ge=1, le=1000)] = 10
    seconds_per_step: Annotated[float, Meta(ge=0, le=60)] = 0.0


class DrillFields(msgspec.Struct):
    """Fields of `drill.run`."""

    act: Literal["succeed", "print", "fail", "reject", "exit"] = "succeed"
    seconds: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    message: Annotated[str, Meta(max_length=1000)] = ""


class SubmittedModel:
    """Stands for a payload model where only its verdict matters."""

    def __init__(self, fields: type[msgspec.Struct], module: str, name: str) -> None:
        self.fields = fields
        self._module = module
        self.__name__ = name

    @property
    def model(self) -> PayloadModel:
        """The payload model itself."""
        module = import_module(f"hms_svc.services.{self._module}")
        return cast("PayloadModel", getattr(module, self.__name__))

    def model_validate(self, data: Any) -> Any:
        """Return the fields if the data fits them, else what the payload model returns; or raise as it does."""
        try:
            return msgspec.convert(data, self.fields)
        except msgspec.ValidationError:
            return self.model.model_validate(data)


MODELS: Final = {
    "pothole.report": SubmittedModel(ReportFields, "pothole_report", "PotholeReport"),
    "crew.notify": SubmittedModel(NoticeFields, "crew_notify", "CrewNotice"),
    "analysis.run": SubmittedModel(AnalysisFields, "analysis_run", "AnalysisRequest"),
    "drill.run": SubmittedModel(DrillFields, "drill_run", "DrillRequest"),
}


class SubmittedTypes(Registry):
    """The given built-in types, to validate jobs with. Their handlers do not run."""

    def __init__(self, types: Collection[str]) -> None:
        super().__init__()
        self._types = {
            name: JobType(
                type=name, handler=_run_nowhere, payload=cast("PayloadModel", MODELS[name])
            )
            for name in MODELS
            if name in types
        }


def _run_nowhere() -> None:
    raise NotImplementedError("only a worker has the handlers")
