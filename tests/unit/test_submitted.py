"""What a producer accepts without Pydantic is what the payload models accept."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.domain.job import INTERNAL_TYPES
from hms_svc.sdk.payload import PayloadFault, parse_payload, parse_submitted
from hms_svc.services import builtin_registry
from hms_svc.services.submitted import MODELS, SubmittedModel, SubmittedTypes

BUILT_IN = {declared.type: declared for declared in builtin_registry()}
NAMES = sorted(
    {field.name for model in MODELS.values() for field in msgspec.structs.fields(model.fields)}
)
TEXTS = [
    "",
    "x",
    "places",
    "numbers",
    "print",
    "usr-1",
    "5",
    "x" * 128,
    "x" * 129,
    "x" * 1001,
    "x" * 2049,
    "x" * 4001,
]
NUMBERS = [
    -90.0,
    90.0,
    90.5,
    -180.5,
    180,
    0,
    1,
    5.0,
    100,
    101,
    1001,
    3600,
    3600.5,
    60.0,
    61,
    1e15,
    -1e16,
    2**63 - 1,
    1e308,
]
VALUE: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.sampled_from(TEXTS)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**64 - 1),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(TEXTS), inner, max_size=2)
    ),
    max_leaves=4,
)
VALID: dict[str, dict[str, Any]] = {
    "pothole.report": {"user_id": "usr-1", "lat": 1, "lon": 2.5},
    "crew.notify": {"case_id": "c"},
    "analysis.run": {},
    "drill.run": {},
}


def fits(model: SubmittedModel, data: Any) -> bool:
    try:
        msgspec.convert(data, model.fields)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", MODELS)
@given(changes=st.dictionaries(st.sampled_from([*NAMES, "other"]), VALUE, max_size=3))
def test_the_payload_model_accepts_what_fits(name: str, changes: dict[str, Any]) -> None:
    payload = BUILT_IN[name].payload
    assert payload is not None
    data = {**VALID[name], **changes}
    if fits(MODELS[name], data):
        parse_payload(payload, data)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "data", [None, [], "x", 1, {"lat": 91}, {"seconds": True, "steps": 0, "reasons": 1}]
)
def test_other_data_is_judged_by_the_payload_model(name: str, data: Any) -> None:
    [declared] = SubmittedTypes([name])
    answers: list[object] = []
    for payload in (declared.payload, BUILT_IN[name].payload):
        assert payload is not None
        try:
            answers.append(bool(parse_submitted(payload, data)))
        except PayloadFault as fault:
            answers.append((str(fault), fault.field, fault.faults))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", MODELS)
def test_usual_data_fits(name: str) -> None:
    assert fits(MODELS[name], VALID[name])


def test_each_type_that_can_be_submitted_is_known_and_has_no_other_default() -> None:
    assert set(MODELS) == set(BUILT_IN) - INTERNAL_TYPES
    for name, model in MODELS.items():
        declared = BUILT_IN[name]
        assert declared.payload is model.model
        assert (declared.unique, declared.priority) == (None, 0)
