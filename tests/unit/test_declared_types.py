"""Declared job types: each is called as its handler, and makes jobs that its type accepts."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, get_overloads

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_serializer

from hms_svc import (
    BadInput,
    DeclaredType,
    HmsError,
    Job,
    MalformedJob,
    MalformedJson,
    Registry,
    RetryLater,
    RunningJob,
)
from hms_svc.api.result_types import result_reader
from hms_svc.domain.strict_json import decode
from hms_svc.runtime.decide import BadResult, Finished
from hms_svc.runtime.run_outcome import _finished
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.registry import Registry as SdkRegistry
from hms_svc.sdk.source_places import place_of
from hms_svc.sdk.value_checks import is_async

if TYPE_CHECKING:  # a handler may name in annotations what is not there at run time
    from decimal import Decimal


class Application(BaseModel):
    parcel: str
    storeys: int = 1


class Urgent(Application):
    hours: int


class Fee(BaseModel):
    cents: int


class Dated(BaseModel):
    on: datetime


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    on: datetime


class Renamed(BaseModel):
    parcel: str = Field(alias="parcelNumber")


class Unwritable(BaseModel):
    parcel: str

    @field_serializer("parcel")
    def write(self, value: str) -> str:
        raise ZeroDivisionError


def plain(job: RunningJob) -> Any:
    """Do it."""
    return job.data


async def coroutine(job: RunningJob) -> Any:
    """Do it."""
    return job.data


class Callee:
    """Do it."""

    job = "an attribute of its own"

    def __call__(self, job: RunningJob) -> Any:
        return job.data


class Data:
    data = "done"


HANDLERS: list[Callable[..., Any]] = [plain, coroutine, Callee(), partial(plain)]


@pytest.mark.parametrize("handler", HANDLERS, ids=["plain", "async", "object", "partial"])
def test_a_declared_type_is_called_as_its_handler(handler: Callable[..., Any]) -> None:
    registry = Registry()
    declared = registry.job("a.job")(handler)
    job: Any = Data()
    answer: Any = declared(job)
    assert (asyncio.run(answer) if inspect.iscoroutine(answer) else answer) == "done"
    assert isinstance(declared, DeclaredType)
    assert callable(declared)
    assert declared.type == "a.job"
    assert repr(declared) == f"<job type a.job of {place_of(handler)}>"
    assert declared.__doc__ == handler.__doc__
    assert inspect.signature(declared) == inspect.signature(handler)
    assert is_async(declared) == is_async(handler)
    assert place_of(declared) == place_of(handler)
    kept = registry.get("a.job")
    assert kept is not None
    assert kept.handler is handler


def test_a_declared_type_can_be_declared_again() -> None:
    first = Registry().job("a.job")(coroutine)
    registry = Registry()
    registry.job("b.job")(first)
    kept = registry.get("b.job")
    assert kept is not None
    assert is_async(kept.handler)


def test_a_wrong_declaration_is_refused_as_ever() -> None:
    with pytest.raises(BadInput, match=r"test_declared_types.py:\d+: type a\.job: slots 0 is not"):
        Registry().job("a.job", slots=0)(plain)
    not_a_name: Any = plain
    with pytest.raises(BadInput, match="takes the name of the type as its first argument"):
        Registry().job(not_a_name)


def test_its_arguments_are_those_of_the_registry_below() -> None:
    expected = inspect.signature(SdkRegistry.job).parameters
    typed = get_overloads(Registry.job)
    assert len(typed) == 2
    for overload in typed:
        parameters = inspect.signature(overload).parameters
        assert list(parameters) == list(expected)
        defaults = {name: each.default for name, each in parameters.items() if name != "payload"}
        assert defaults == {name: expected[name].default for name in defaults}


def declared_with(**given: Any) -> DeclaredType:
    declared: Any = Registry().job("a.job", **given)
    found: DeclaredType = declared(plain)
    return found


@pytest.mark.parametrize(
    ("model", "payload", "data"),
    [
        (Application, Application(parcel="1"), {"parcel": "1", "storeys": 1}),
        (Application, {"parcel": "1"}, {"parcel": "1"}),
        (
            Application,
            Urgent(parcel="1", hours=2),
            {"parcel": "1", "storeys": 1, "hours": 2},
        ),
        (Dated, Dated(on=datetime(2026, 1, 2, tzinfo=UTC)), {"on": "2026-01-02T00:00:00Z"}),
        (Renamed, Renamed(parcelNumber="1"), {"parcelNumber": "1"}),
        (None, [1, None], [1, None]),
    ],
)
def test_a_job_has_the_data_of_its_payload(model: Any, payload: Any, data: Any) -> None:
    job = declared_with(payload=model).job(payload)
    assert isinstance(job, Job)
    assert (job.type, decode(job.envelope.data)) == ("a.job", data)


def test_a_job_has_the_key_and_the_priority_of_its_type() -> None:
    declared = declared_with(payload=Application, unique=lambda p: p.parcel, priority=5)
    job = declared.job(Application(parcel="17"))
    assert (job.envelope.unique_key, job.envelope.priority) == ("17", 5)
    own = declared.job(
        Application(parcel="17"), unique_key="own", priority=0, id="j", delay=timedelta(hours=1)
    )
    assert (own.id, own.envelope.unique_key, own.envelope.priority) == ("j", "own", 0)
    assert own.envelope.not_before


@pytest.mark.parametrize(
    ("model", "payload", "error", "message"),
    [
        (Application, {"storeys": "x"}, MalformedJob, r"data\.parcel.*data\.storeys.*given 'x'"),
        (Application, Fee(cents=1), MalformedJob, "expected Application, the payload of a.job"),
        (Application, "17", MalformedJob, "data: Input should be a valid dictionary"),
        (
            Application,
            Application.model_construct(parcel=7, storeys=1),
            MalformedJob,
            r"data\.parcel.*given 7",
        ),
        (Strict, Strict(on=datetime(2026, 1, 2, tzinfo=UTC)), MalformedJob, r"data\.on.*given"),
        (Unwritable, Unwritable(parcel="1"), MalformedJob, "Unwritable cannot be written as JSON"),
        (None, object(), MalformedJson, "object"),
    ],
)
def test_a_payload_at_fault_is_named(
    model: Any, payload: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        declared_with(payload=model).job(payload)


def test_a_key_that_cannot_be_computed_is_named() -> None:
    with pytest.raises(MalformedJob, match=r"unique key of a\.job: .* raised KeyError"):
        declared_with(unique=lambda data: data["nosuch"]).job({})


def returns_model(job: RunningJob) -> Application:
    raise NotImplementedError


async def returns_models(job: RunningJob) -> dict[str, list[Application]] | None:
    raise NotImplementedError


def returns_model_or_outcome(job: RunningJob) -> Application | RetryLater:
    raise NotImplementedError


def returns_data(job: RunningJob) -> dict[str, Any]:
    raise NotImplementedError


def returns_unknown(job: RunningJob) -> Decimal:
    raise NotImplementedError


class ReturnsModel:
    def __call__(self, job: RunningJob) -> Application:
        raise NotImplementedError

    def method(self, job: RunningJob) -> Application:
        raise NotImplementedError


RAW = b'{"parcel":"1","storeys":2}'
MODEL = Application(parcel="1", storeys=2)


@pytest.mark.parametrize(
    ("handler", "raw", "result"),
    [
        (returns_model, RAW, MODEL),
        (partial(returns_model), RAW, MODEL),
        (ReturnsModel(), RAW, MODEL),
        (ReturnsModel().method, RAW, MODEL),
        (returns_model_or_outcome, RAW, MODEL),
        (returns_models, b'{"a":[%s]}' % RAW, {"a": [MODEL]}),
        (returns_models, b"null", None),
        (returns_data, RAW, {"parcel": "1", "storeys": 2}),
        (returns_unknown, RAW, {"parcel": "1", "storeys": 2}),
        (lambda: None, b"null", None),
    ],
)
def test_a_result_is_what_the_annotation_says(
    handler: Callable[..., Any], raw: bytes, result: Any
) -> None:
    assert result_reader(handler)("job-1", raw) == result


def test_a_result_that_the_annotation_does_not_fit_is_named() -> None:
    with pytest.raises(HmsError, match="the result of job job-1 does not match Application"):
        result_reader(returns_model)("job-1", b'{"storeys":2}')


DECLARED = JobType(type="a.job", handler=plain)


@pytest.mark.parametrize(
    ("result", "raw"),
    [
        (MODEL, RAW),
        ([MODEL], b"[%s]" % RAW),
        ({"a": {"b": MODEL}}, b'{"a":{"b":%s}}' % RAW),
        (Renamed(parcelNumber="1"), b'{"parcelNumber":"1"}'),
    ],
)
def test_a_result_may_have_models(result: Any, raw: bytes) -> None:
    assert _finished(DECLARED, result) == Finished(raw)


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"at": datetime(2026, 1, 2, tzinfo=UTC)}, "at: datetime"),
        ([MODEL, object()], "object"),
        (Unwritable(parcel="1"), "ZeroDivisionError"),
        (CYCLE, "nested deeper"),
    ],
)
def test_what_is_neither_json_nor_a_model_is_no_result(result: Any, message: str) -> None:
    outcome = _finished(DECLARED, result)
    assert isinstance(outcome, BadResult)
    assert message in outcome.failure.message
