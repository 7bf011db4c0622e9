"""Forms for payloads, generated from the models that types declare, and parsed strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from hms_svc.domain.errors import MalformedJob, MalformedJson
from hms_svc.domain.job import INTERNAL_TYPES
from hms_svc.domain.strict_json import JsonValue, check_strict, read_strict
from hms_svc.operations.schema import (
    FieldKind,
    Schema,
    hint_of,
    kind_of,
    object_schema,
    resolve,
    values_of,
)
from hms_svc.sdk.job_type import PayloadModel
from hms_svc.sdk.registry import Registry

WHOLE: Final = "data"
FURTHER: Final = "…"
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_BOOLEANS: Final = {"true": True, "yes": True, "false": False, "no": False}
_EXPECTED: Final = {
    FieldKind.TEXT: "text",
    FieldKind.INTEGER: "a whole number",
    FieldKind.NUMBER: "a number",
    FieldKind.BOOLEAN: "yes or no",
    FieldKind.CHOICE: "one of",
    FieldKind.JSON: "JSON",
}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a form. `default` and `choices` are texts as they would be typed.

    `hint` describes the expected form. Empty text means that no value is given.
    """

    name: str
    title: str
    kind: FieldKind
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    hint: str = ""
    values: tuple[JsonValue, ...] = ()

    @property
    def expected(self) -> str:
        """The expected form: `a number, −90 to 90`."""
        if self.kind is FieldKind.CHOICE:
            return f"one of {', '.join(self.choices)}"
        return ", ".join(word for word in (_EXPECTED[self.kind], self.hint) if word)


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of one type's payload. If `whole`, the only field is the payload itself."""

    type: str
    fields: tuple[Field, ...]
    whole: bool = False


class Forms:
    """The forms of an application's types."""

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry or Registry()

    def types(self) -> tuple[str, ...]:
        """Return the names of all types that are declared and can be submitted, sorted."""
        return tuple(sorted({declared.type for declared in self._registry} - INTERNAL_TYPES))

    def form(self, type: str) -> Form:
        """Return the form of a type; one field for the whole payload if no model is known."""
        declared = self._registry.get(type)
        return make_form(type, declared.payload if declared else None)


def make_form(type: str, model: PayloadModel | None) -> Form:
    """Return the form of a payload model."""
    schema = object_schema(model) if model is not None else None
    if schema is None:
        hint = "the whole payload"
        whole = Field(name=WHOLE, title="Data", kind=FieldKind.JSON, required=True, hint=hint)
        return Form(type=type, fields=(whole,), whole=True)
    return Form(type=type, fields=tuple(_fields(schema)))


def fill(form: Form, texts: Mapping[str, str]) -> JsonValue:
    """Parse what was typed into a payload; fields left empty are left out.

    Raises MalformedJob with the field at fault, its value, and the expected form.
    """
    data: dict[str, JsonValue] = {}
    for field in form.fields:
        text = texts.get(field.name, "")
        if text.strip() == "":
            if field.required:
                raise _fault(field, f"{field.name} is missing: {field.expected}")
            continue
        value = _read(field, text)
        if form.whole:
            return value
        data |= _further(field, value, form) if field.name == FURTHER else {field.name: value}
    return data


def write(form: Form, data: JsonValue) -> dict[str, str]:
    """Return a payload as it would be typed into the form: the inverse of `fill`."""
    if form.whole or not isinstance(data, dict):
        return {form.fields[0].name: _typed(data)} if form.whole else {}
    known = {field.name for field in form.fields}
    further = {name: value for name, value in data.items() if name not in known}
    texts = {name: _typed(value) for name, value in data.items() if name in known}
    return texts | ({FURTHER: _typed(further)} if further and FURTHER in known else {})


def _fields(schema: Schema) -> Iterator[Field]:
    required = frozenset(schema.get("required", ()))
    for name, given in schema["properties"].items():
        found = resolve(given, schema)
        values = values_of(found)
        yield Field(
            name=name,
            title=str(given.get("title") or name.replace("_", " ").capitalize()),
            kind=kind_of(found),
            required=name in required,
            default=_typed(given.get("default")),
            choices=tuple(_typed(value) for value in values),
            hint=hint_of(found),
            values=values,
        )
    if schema.get("additionalProperties") is True:
        yield Field(name=FURTHER, title="Further fields", kind=FieldKind.JSON, hint="an object")


def _typed(value: JsonValue) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _read(field: Field, text: str) -> JsonValue:
    value: JsonValue = text if field.kind is FieldKind.TEXT else text.strip()
    try:
        match field.kind:
            case FieldKind.INTEGER:
                value = int(text) if _INTEGER.fullmatch(text.strip()) else None
            case FieldKind.NUMBER:
                value = read_strict(text.strip().encode(errors="surrogatepass"))
                value = value if type(value) in (int, float) else None
            case FieldKind.BOOLEAN:
                value = _BOOLEANS.get(text.strip().lower())
            case FieldKind.CHOICE:
                return _chosen(field, text.strip())
            case FieldKind.JSON:
                return read_strict(text.encode(errors="surrogatepass"))
        check_strict(value)
    except MalformedJson as error:
        message = f"{field.name} {text!r:.80} is not {field.expected}: {error}"
        raise _fault(field, message) from error
    if value is None:
        raise _fault(field, f"{field.name} {text!r:.80} is not {field.expected}")
    return value


def _chosen(field: Field, text: str) -> JsonValue:
    if text not in field.choices:
        raise _fault(field, f"{field.name} {text!r:.80} is not {field.expected}")
    return field.values[field.choices.index(text)]


def _further(field: Field, value: JsonValue, form: Form) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise _fault(field, f"the further fields {_typed(value)!r:.80} are not an object")
    twice = sorted(value.keys() & {each.name for each in form.fields})
    if twice:
        raise _fault(field, f"the further fields contain {twice[0]!r:.80}, which has its own field")
    return value


def _fault(field: Field, message: str) -> MalformedJob:
    return MalformedJob(message, WHOLE if field.name in (WHOLE, FURTHER) else f"data.{field.name}")
