from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from hms_svc.domain.errors import MalformedJob
from hms_svc.domain.strict_json import JsonValue
from hms_svc.operations.forms import FURTHER, Form, Forms, fill, make_form, write
from hms_svc.operations.schema import FieldKind
from hms_svc.sdk.registry import Registry
from hms_svc.services import builtin_registry


class Colour(Enum):
    RED = "red"
    BLUE = 2


class Nested(BaseModel):
    deep: int


class Everything(BaseModel):
    model_config = ConfigDict(defer_build=True)

    name: str = Field(min_length=2, max_length=20, description="who asks")
    count: Annotated[int, Field(gt=0, lt=10)] = 3
    ratio: float | None = Field(default=None, ge=-90, le=90)
    loud: bool = False
    size: Literal["s", "m"] = "m"
    colour: Colour | None = None
    nested: Nested | None = None
    tags: list[str] = Field(default=[], max_length=4)
    mixed: int | str = 7


FORM = make_form("test.job", Everything)
POTHOLE = Forms(builtin_registry()).form("pothole.report")


def test_kinds_defaults_and_choices_are_the_models() -> None:
    assert [(field.name, field.kind, field.default) for field in FORM.fields] == [
        ("name", FieldKind.TEXT, ""),
        ("count", FieldKind.INTEGER, "3"),
        ("ratio", FieldKind.NUMBER, ""),
        ("loud", FieldKind.BOOLEAN, "false"),
        ("size", FieldKind.CHOICE, "m"),
        ("colour", FieldKind.CHOICE, ""),
        ("nested", FieldKind.JSON, ""),
        ("tags", FieldKind.JSON, "[]"),
        ("mixed", FieldKind.JSON, "7"),
    ]
    assert [field.name for field in FORM.fields if field.required] == ["name"]
    assert [field.choices for field in FORM.fields if field.choices] == [("s", "m"), ("red", "2")]


@pytest.mark.parametrize(
    ("form", "field", "hint"),
    [
        (FORM, "name", "2 to 20 characters; who asks"),
        (FORM, "count", "more than 0; less than 10"),
        (FORM, "ratio", "−90 to 90"),
        (FORM, "tags", "a list; at most 4 items"),
        (POTHOLE, "lat", "−90 to 90"),
        (POTHOLE, "description", "at most 4,000 characters"),
    ],
)
def test_hints_tell_constraints_in_words(form: Form, field: str, hint: str) -> None:
    assert {each.name: each.hint for each in form.fields}[field] == hint


@pytest.mark.parametrize("type", Forms(builtin_registry()).types())
def test_the_defaults_of_every_built_in_form_are_what_their_model_means(type: str) -> None:
    declared = builtin_registry().get(type)
    assert declared is not None
    assert declared.payload is not None
    form = make_form(type, declared.payload)
    given = {field.name: field.default for field in form.fields if field.default}
    typed = {
        each.name: "{}" if each.kind is FieldKind.JSON else "1"
        for each in form.fields
        if each.required
    }
    model = declared.payload
    bare, full = fill(form, typed), fill(form, {**typed, **given})
    assert model.model_validate(full) == model.model_validate(bare)


def test_typed_texts_become_strict_data_and_empty_ones_are_left_out() -> None:
    texts = {
        "name": " a b ",
        "count": "7",
        "ratio": "-1.5",
        "loud": "yes",
        "size": "s",
        "colour": "2",
        "nested": '{"deep": 1}',
        "tags": '["x"]',
        "mixed": "",
    }
    data = fill(FORM, texts)
    assert data == {
        "name": " a b ",
        "count": 7,
        "ratio": -1.5,
        "loud": True,
        "size": "s",
        "colour": 2,
        "nested": {"deep": 1},
        "tags": ["x"],
    }
    assert fill(FORM, write(FORM, data)) == data


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("name", "", "name is missing: text, 2 to 20 characters"),
        ("name", "a\0", "NUL in a string"),
        ("count", "1_0", "count '1_0' is not a whole number, more than 0"),
        ("count", "١", "is not a whole number"),
        ("count", "9999999999999999999", "an integer of 2^63 or beyond"),
        ("ratio", "north", "ratio 'north' is not a number, −90 to 90"),
        ("ratio", "NaN", "is not a number, −90 to 90"),
        ("ratio", "1e999", "is not a number, −90 to 90"),
        ("ratio", "true", "is not a number, −90 to 90"),
        ("loud", "maybe", "loud 'maybe' is not yes or no"),
        ("size", "xl", "size 'xl' is not one of s, m"),
        ("tags", '{"a": 1, "a": 2}', "occurs twice"),
    ],
)
def test_a_fault_names_field_value_and_what_would_be_right(
    field: str, text: str, told: str
) -> None:
    with pytest.raises(MalformedJob) as caught:
        fill(FORM, {"name": "ada", field: text})
    assert caught.value.field == f"data.{field}"
    assert told in str(caught.value)


def test_fields_that_the_model_keeps_unread_have_a_place_of_their_own() -> None:
    data: JsonValue = {"user_id": "usr-1", "lat": 1, "lon": 2.5, "needs_road_closure": True}
    texts = write(POTHOLE, data)
    assert texts[FURTHER] == '{"needs_road_closure": true}'
    assert fill(POTHOLE, texts) == data
    with pytest.raises(MalformedJob, match="its own field"):
        fill(POTHOLE, {**texts, FURTHER: '{"lat": 3}'})
    with pytest.raises(MalformedJob, match="not an object"):
        fill(POTHOLE, {**texts, FURTHER: "3"})


def test_a_type_without_a_model_has_one_field_for_the_whole_payload() -> None:
    form = Forms(Registry()).form("x.y")
    assert [(field.kind, field.required) for field in form.fields] == [(FieldKind.JSON, True)]
    assert fill(form, write(form, [1, {"a": None}])) == [1, {"a": None}]


def test_types_are_listed_by_name() -> None:
    assert Forms(builtin_registry()).types() == (
        "analysis.run",
        "crew.notify",
        "drill.run",
        "pothole.report",
    )
    assert Forms(None).types() == ()
