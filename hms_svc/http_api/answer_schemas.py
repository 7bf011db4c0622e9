"""The component schemas of answers, generated from their models."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from inspect import cleandoc
from typing import Any, Final, get_args

import msgspec

from hms_svc.domain.batches import BatchState, When
from hms_svc.domain.case import CaseStatus
from hms_svc.domain.health import Level, TroubleKind
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import WorkerState
from hms_svc.http_api.problems import ProblemAnswer
from hms_svc.http_api.route_description import REFERENCE
from hms_svc.operations.answers.acts import OutcomeAnswer, PlanAnswer
from hms_svc.operations.answers.batches import BatchClosedAnswer, BatchPageAnswer
from hms_svc.operations.answers.jobs import (
    Accepted,
    Explanation,
    FailureList,
    JobDetailAnswer,
    JobPageAnswer,
    Received,
)
from hms_svc.operations.answers.records import AuditPageAnswer, CaseAnswer, CasePageAnswer
from hms_svc.operations.answers.schedules import ScheduleList, SchedulePaused, ScheduleRun
from hms_svc.operations.answers.service import (
    HealthLevel,
    Paused,
    QueueList,
    StatusAnswer,
    WorkerList,
    WorkerStateRequested,
)

ANSWERS: Final[tuple[type[msgspec.Struct], ...]] = (
    ProblemAnswer,
    Accepted,
    JobPageAnswer,
    JobDetailAnswer,
    Explanation,
    BatchPageAnswer,
    BatchClosedAnswer,
    OutcomeAnswer,
    PlanAnswer,
    QueueList,
    Paused,
    WorkerStateRequested,
    WorkerList,
    StatusAnswer,
    FailureList,
    ScheduleList,
    ScheduleRun,
    SchedulePaused,
    CaseAnswer,
    CasePageAnswer,
    AuditPageAnswer,
    Received,
)
"""The top-level answers; what they contain comes with them."""
_CHOICES: Final[tuple[type[Enum], ...]] = (
    State,
    BatchState,
    When,
    CaseStatus,
    Level,
    TroubleKind,
    WorkerState,
)


def answer_schemas() -> dict[str, Any]:
    """Return the component of each answer by its name: that of its class without `Answer`."""
    _, found = msgspec.json.schema_components(
        ANSWERS, ref_template=REFERENCE.format(model="{name}")
    )
    schemas = {_name(name): _plain(schema) for name, schema in found.items()}
    for choice in _CHOICES:
        schemas[choice.__name__]["enum"] = [each.value for each in choice]
    schemas["Health"]["properties"]["level"]["enum"] = list(get_args(HealthLevel))
    return schemas


def _name(name: str) -> str:
    return name.removesuffix("Answer")


def _plain(schema: Any) -> Any:
    """Return a schema without titles, with the names of components, and enumerations as texts."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    return dict(_members(schema)) if isinstance(schema, dict) else schema


def _members(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in schema.items():
        if name == "$ref":
            yield name, _name(value)
        elif name == "properties":
            yield name, {field: _plain(each) for field, each in value.items()}
        elif name == "description":
            yield name, cleandoc(value)
        elif name != "title":
            yield name, _plain(value)
    if "enum" in schema:
        yield "type", "string"
